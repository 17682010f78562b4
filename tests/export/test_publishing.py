"""Moving the files of an export to their places."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.export import publishing
from mfn_patcher.export.errors import ExportError

NAMES = ("m.param", "m.bin")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    (tmp_path / "out").mkdir()
    for name in NAMES:
        (tmp_path / "made" / name).write_text(name)
    return tmp_path / "made"


@pytest.fixture(params=["links", "no links"])
def out(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, on file systems with hard links and without."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_all_files(made: Path, out: Path) -> None:
    publishing.publish(made, out, NAMES)
    assert contents(out) == {name: name for name in NAMES}


def test_what_came_meanwhile_stays(made: Path, out: Path) -> None:
    (out / "m.bin").write_text("another's")
    with pytest.raises(ExportError, match=r"already has m\.bin"):
        publishing.publish(made, out, NAMES)
    assert contents(out) == {"m.bin": "another's"}


def test_a_full_disk_leaves_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(source: Any, target: Any) -> None:
        target.write(source.read()[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copyfileobj", fill)
    with pytest.raises(OSError, match="No space"):
        publishing.publish(made, tmp_path / "out", NAMES)
    assert contents(tmp_path / "out") == {}
