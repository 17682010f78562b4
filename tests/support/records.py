"""Damaged record files."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.data.recordio import Index


def spoil_image(data: Path, key: int) -> None:
    """Overwrite the image of a record of a data set, so that it cannot be decoded."""
    position = Index.read(data / "train.idx").position(key)
    assert position is not None
    with (data / "train.rec").open("r+b") as file:
        file.seek(position + 8 + 24)
        file.write(bytes(1000))
