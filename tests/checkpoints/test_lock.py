"""The lock of a prefix."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from mfn_patcher.checkpoints.lock import LockedError, hold


def test_the_last_run_ends_while_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that locked a file after its removal would not keep other runs out."""
    prefix = tmp_path / "model"
    real, left = fcntl.flock, [tmp_path / "model.lock"]

    def flock(descriptor: int, kind: int) -> None:
        if left:
            left.pop().unlink()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(prefix):
        assert not left
        with pytest.raises(LockedError), hold(prefix):
            pass
