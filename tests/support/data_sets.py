"""Changing a data set, and expecting what its check finds."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mfn_patcher.data.check import check
from mfn_patcher.data.recordio import Index, RecordReader, RecordWriter
from mfn_patcher.finding import Level


def encoded(size: tuple[int, int] = (112, 112), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 128).save(file, format="JPEG")
    return file.getvalue()


def expect(directory: Path, level: Level, name: str, *words: str) -> None:
    """Check that there is exactly one finding of a level, about `name`, with these words."""
    result = check(directory)
    found = [finding for finding in result.findings if finding.level is level]
    assert [finding.check for finding in found] == [name], result.findings
    for word in words:
        assert word in found[0].detail
    assert found[0].remedy
    assert result.ok == (level is not Level.ERROR)


def records_of(directory: Path) -> dict[int, bytes]:
    index = Index.read(directory / "train.idx")
    with RecordReader(directory / "train.rec") as reader:
        return {
            key: reader.read(position)
            for key, position in zip(index.keys.tolist(), index.positions.tolist())
        }


def rewrite(directory: Path, changes: dict[int, bytes | None]) -> None:
    """Rewrite the record file with some records changed, added or left out."""
    records = {**records_of(directory), **changes}
    with RecordWriter(directory / "train.rec", directory / "train.idx") as writer:
        for key, payload in records.items():
            if payload is not None:
                writer.write(key, payload)
