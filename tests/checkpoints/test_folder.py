from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.trainer.mfn_trainer.layout import symbol_file

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix with checkpoints 1, 2 and 12345, and other files that look like its own."""
    prefix = tmp_path / "mödels (1)" / "model+y1"
    prefix.parent.mkdir()
    for number in ("0001", "0002", "12345"):
        Path(f"{prefix}-{number}.params").write_text(number)
    Path(f"{prefix}-symbol.json").write_text("symbol")
    for other in ("model+y1-001.params", "model+y1-b-0001.params", "modell+y1-0001.params"):
        (prefix.parent / other).write_text("other")
    return prefix


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_find(prefix: Path, tmp_path: Path) -> None:
    assert list(checkpoints.find(prefix)) == [1, 2, 12345]
    assert checkpoints.find(tmp_path / "missing" / "model") == {}


def test_nothing_to_set_aside(tmp_path: Path) -> None:
    assert checkpoints.set_aside(tmp_path / "models" / "model", None) is None
    assert list(tmp_path.iterdir()) == []


def test_set_aside_moves_all(prefix: Path) -> None:
    archive = checkpoints.set_aside(prefix, None, NOW)
    assert archive
    assert archive.folder == prefix.parent / "model+y1.20260102T030405"
    assert sorted(contents(archive.folder)) == [
        "model+y1-0001.params", "model+y1-0002.params", "model+y1-12345.params",
        "model+y1-symbol.json",
    ]  # fmt: skip
    assert set(contents(prefix.parent).values()) == {"other"}


def test_the_start_stays_and_writing_into_it_spares_the_archive(prefix: Path) -> None:
    archive = checkpoints.set_aside(prefix, 2, NOW)
    assert archive
    assert list(checkpoints.find(prefix)) == [2]
    assert symbol_file(prefix).read_text() == "symbol"
    with checkpoints.find(prefix)[2].open("r+") as file:
        file.write("NEW!")
    symbol_file(prefix).write_text("new")
    assert contents(archive.folder)["model+y1-0002.params"] == "0002"
    assert contents(archive.folder)["model+y1-symbol.json"] == "symbol"


def make_complete(prefix: Path, number: int, saved: float, **arguments: object) -> None:
    files = {}
    for kind in ("params", "states"):
        path = Path(f"{prefix}-{number:04d}.{kind}")
        path.write_text(f"{kind} {number}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files[kind] = {"bytes": path.stat().st_size, "sha256": sha256}
    arguments = arguments or {"lr": number}
    manifest = {"saved": saved, "step": 10 * number, "files": files, "arguments": arguments}
    Path(f"{prefix}-{number:04d}.json").write_text(json.dumps(manifest))


def last_number(prefix: Path) -> int | None:
    last = checkpoints.last_complete(prefix)
    return last.number if last else None


def test_the_last_complete_is_the_one_saved_last(prefix: Path) -> None:
    assert checkpoints.last_complete(prefix) is None
    make_complete(prefix, 80, 1.0)
    make_complete(prefix, 3, 2.0)
    make_complete(prefix, 4, 3.0)
    last = checkpoints.last_complete(prefix)
    assert last == checkpoints.Complete(
        4, Path(f"{prefix}-0004.params"), 40, 3.0, {"lr": 4}, "mxnet"
    )


def test_a_clock_that_was_set_back_loses_no_steps(prefix: Path) -> None:
    """Of one training, that is: the checkpoint that it starts from stays beside its own."""
    make_complete(prefix, 80, 1.0, lr=0.1, pretrained="other,20")
    make_complete(prefix, 3, 9.0, lr=0.1, pretrained="model,80", max_steps=40)
    make_complete(prefix, 4, 2.0, lr=0.1, pretrained="model,80", max_steps=50)
    last = checkpoints.last_complete(prefix)
    assert last
    assert last.number == 4


@pytest.mark.parametrize(
    "damage",
    [
        {"saved": float("nan")},
        {"verification": {"lfw": 0.5, "b": float("nan")}},
        {"finite": False},
        {"saved": [1]},
        {"step": None},
        {"files": []},
        {"arguments": [1]},
    ],
)
def test_a_manifest_that_makes_no_sense_is_passed_over(
    prefix: Path, damage: dict[str, object]
) -> None:
    make_complete(prefix, 3, 1.0)
    make_complete(prefix, 4, 2.0)
    path = Path(f"{prefix}-0004.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert last_number(prefix) == 3


@pytest.mark.parametrize(
    ("kind", "damage"),
    [(kind, damage) for kind in ("params", "states") for damage in ("gone", "torn", "another")]
    + [("json", "gone"), ("json", "torn")],
)
def test_a_damaged_one_is_not_complete(prefix: Path, kind: str, damage: str) -> None:
    make_complete(prefix, 3, 1.0)
    make_complete(prefix, 4, 2.0)
    path = Path(f"{prefix}-0004.{kind}")
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(text[:-1] if damage == "torn" else text.replace("4", "5", 1))
    assert last_number(prefix) == 3


def test_a_checkpoint_without_momentum_cannot_be_gone_on_from(prefix: Path) -> None:
    make_complete(prefix, 3, 1.0)
    manifest = Path(f"{prefix}-0003.json")
    held = json.loads(manifest.read_text())
    del held["files"]["states"]
    manifest.write_text(json.dumps(held))
    assert checkpoints.last_complete(prefix) is None


def test_all_parts_are_set_aside_and_put_back(prefix: Path) -> None:
    for number in (2, 3):
        make_complete(prefix, number, float(number))
    before = contents(prefix.parent)
    archive = checkpoints.set_aside(prefix, 3, NOW)
    assert archive
    assert last_number(archive.folder / prefix.name) == 3
    assert checkpoints.last_complete(prefix) == checkpoints.Complete(
        3, Path(f"{prefix}-0003.params"), 30, 3.0, {"lr": 3}, "mxnet"
    )
    assert not Path(f"{prefix}-0002.states").exists()
    assert not Path(f"{prefix}-0002.json").exists()
    assert archive.restore()
    assert contents(prefix.parent) == before


def test_clean(prefix: Path) -> None:
    before = contents(prefix.parent)
    for name in ("0003.params", "0003.states", "12345.json", "symbol.json"):
        Path(f"{prefix}-{name}.partial").write_text("torn")
    Path(f"{prefix}x-0003.params.partial").write_text("another's")
    checkpoints.clean(prefix)
    assert contents(prefix.parent) == {**before, f"{prefix.name}x-0003.params.partial": "another's"}


def test_the_largest_with_all_its_files(prefix: Path) -> None:
    assert checkpoints.largest(prefix) == len("12345")
    make_complete(prefix, 3, 1.0)
    sizes = [path.stat().st_size for path in prefix.parent.glob(f"{prefix.name}-0003.*")]
    assert len(sizes) == 3
    assert checkpoints.largest(prefix) == sum(sizes)


def test_folders_never_clash(prefix: Path) -> None:
    folders = []
    for _ in range(3):
        archive = checkpoints.set_aside(prefix, 2, NOW)
        assert archive
        folders.append(archive.folder.name)
    assert folders == [f"model+y1.20260102T030405{end}" for end in ("", "-2", "-3")]


@pytest.mark.parametrize("keep", [None, 2])
def test_restore(prefix: Path, keep: int | None) -> None:
    before = contents(prefix.parent)
    archive = checkpoints.set_aside(prefix, keep, NOW)
    assert archive
    assert archive.restore()
    assert contents(prefix.parent) == before
    assert not archive.folder.exists()


def test_restore_overwrites_nothing(prefix: Path) -> None:
    archive = checkpoints.set_aside(prefix, 2, NOW)
    assert archive
    checkpoints.find(prefix)[2].write_text("new")
    symbol_file(prefix).write_text("new")
    Path(f"{prefix}-0001.params").write_text("new")
    assert not archive.restore()
    assert contents(archive.folder) == {
        "model+y1-0001.params": "0001",
        "model+y1-0002.params": "0002",
        "model+y1-symbol.json": "symbol",
    }
    assert Path(f"{prefix}-0001.params").read_text() == "new"


def test_saved_since(prefix: Path) -> None:
    before = checkpoints.state(prefix)
    assert checkpoints.saved_since(prefix, before) == []
    Path(f"{prefix}-0003.params").write_text("3")
    Path(f"{prefix}-0002.params").write_text("another")
    assert checkpoints.saved_since(prefix, before) == [2, 3]


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("moment", range(20))
def test_killed_at_any_moment(prefix: Path, moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies before each change of the disk; nothing is lost, the start is there."""
    left = [moment]

    def dying(real: Any, *, half: bool = False) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                if half:
                    Path(arguments[1]).write_text("ha")
                raise KilledError
            return real(*arguments, **keywords)

        return call

    monkeypatch.setattr(Path, "rename", dying(Path.rename))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    monkeypatch.setattr(Path, "mkdir", dying(Path.mkdir))
    monkeypatch.setattr(shutil, "copy2", dying(shutil.copy2, half=True))
    died = True
    try:
        checkpoints.set_aside(prefix, 2, NOW)
        died = False
    except KilledError:
        pass
    monkeypatch.undo()
    assert died == (moment < 7)  # mkdir, two copies renamed into place, two moves
    assert checkpoints.find(prefix)[2].read_text() == "0002"
    assert symbol_file(prefix).read_text() == "symbol"
    kept = {
        path.name: path.read_text()
        for path in prefix.parent.rglob("model+y1-*")
        if path.suffix != ".partial"
    }
    assert {kept[f"model+y1-{n}.params"] for n in ("0001", "0002", "12345")} == {
        "0001", "0002", "12345",
    }  # fmt: skip
    # The next run just does it again.
    assert checkpoints.set_aside(prefix, 2, NOW)
    assert list(checkpoints.find(prefix)) == [2]
