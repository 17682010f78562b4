"""Files that a command would read for ever, or that are not named at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher import files
from mfn_patcher.data.synth import SynthesisError, synthesise
from tests.support.repositories import ROOT, StandIn
from tests.support.tool import Tool
from tests.support.toy_series import NO_BIAS

ENDLESS = ["fifo", "/dev/zero"]


@pytest.fixture(params=ENDLESS)
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A pipe that nobody writes to, or a device without an end."""
    if request.param != "fifo":
        return Path(request.param)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.mark.timeout(60)
def test_reading(tmp_path: Path, endless: Path) -> None:
    with pytest.raises(OSError, match="pipe, socket or device"):
        files.read(endless)
    with pytest.raises(IsADirectoryError):
        files.read(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(OSError, match="larger than 16 MiB"):
        files.read(tmp_path / "large")
    (tmp_path / "small").write_bytes(b"small")
    assert files.read(tmp_path / "small") == b"small"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["pinned_commit.txt", "patches/series", "patch"])
def test_a_project(tool: Tool, stand_in: StandIn, tmp_path: Path, endless: Path, name: str) -> None:
    project = stand_in.project
    place = project / (f"patches/{NO_BIAS}" if name == "patch" else name)
    place.unlink()
    place.symlink_to(endless)
    for command in (("lint",), ("check",), ("apply", "-w", tmp_path / "workspace")):
        ran = tool(*command, "--project", project)
        assert ran.code == 1
        # A series that is no file is none.
        assert "pipe, socket or device" in ran.out + ran.err or name == "patches/series"


@pytest.mark.timeout(60)
def test_a_recipe_and_a_list_of_hosts(tool: Tool, tmp_path: Path, endless: Path) -> None:
    for command in (("recipes", "show"), ("train", "--stage", "2", "--dry-run", "--recipe")):
        ran = tool(*command, endless)
        assert (ran.code, "pipe, socket or device" in ran.err) == (1, True), ran.err
    ran = tool("doctor", "--hosts", endless, "--data-dir", tmp_path)
    assert ran.code in (1, 2), ran.err


@pytest.mark.parametrize(
    "command",
    [
        ("data", "synth", ""),
        ("data", "check", ""),
        ("apply", "-w", ""),
        ("lint", "--project", ""),
        ("train", "--stage", "2", "--dry-run", "--data-dir", ""),
        ("train", "--stage", "2", "--dry-run", "--models-dir", ""),
        ("doctor", "--data-dir", ""),
        ("eval", "--model", "m,1", "--data-dir", ""),
        ("export", "m,1", "--format", "onnx", "-o", ""),
        ("report", "last", "-o", ""),
        ("plot", "x", "-o", ""),
        ("embed", "", "x"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tool(*command)
    assert (ran.code, "the path is empty" in ran.err) == (2, True), ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("identities", "images", "reason"),
    [
        (100_000_000, 20, "float32, which is exact up to 16,777,216"),
        (16_777_215, 1, "float32"),
        (8_388_607, 1, "MB free"),
    ],
)
def test_a_data_set_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identities: int, images: int, reason: str
) -> None:
    free = shutil._ntuple_diskusage(1 << 40, 1 << 39, 10_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(SynthesisError, match=reason):
        synthesise(tmp_path / "data", identities=identities, images_per_identity=images)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_how_much_is_drawn_is_told(tool: Tool, tmp_path: Path) -> None:
    ran = tool(
        "data", "synth", tmp_path / "data", "--identities", "1", "--images-per-identity", "2"
    )
    assert ran.code == 0, ran.err
    assert "drawing 122 images, about 0.8 MB" in ran.err
    size = sum(path.stat().st_size for path in (tmp_path / "data").iterdir())
    assert 0.5e6 < size < 1.1e6


def test_signals_that_the_suite_was_started_to_ignore() -> None:
    """As in the background of a shell or under nohup: children of the tests receive signals."""
    program = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "sys.exit(subprocess.run([sys.executable, '-c',\n"
        "    'import signal; import tests.conftest; '\n"
        "    'assert signal.getsignal(signal.SIGINT) is signal.default_int_handler; '\n"
        "    'assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL'\n"
        "]).returncode)\n"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ran.returncode == 0


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"old")
    files.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write(tmp_path / "folder", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "folder"}
