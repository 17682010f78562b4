from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from mfn_patcher.recipes import loading
from mfn_patcher.runs import record
from mfn_patcher.runs.record import RunRecord
from tests.support.repositories import ROOT
from tests.support.runs import DAMAGED, LATIN_1, RECORD


def test_the_schema_has_the_fields_of_a_record() -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "run.json").read_text())
    names = [field.name for field in dataclasses.fields(RunRecord)]
    assert schema["required"] == names
    assert list(schema["properties"]) == names


def test_folders_are_unique(tmp_path: Path) -> None:
    stage = loading.load().stage(2)
    folders = [record.new_folder(tmp_path / "runs", stage) for _ in range(3)]
    assert len(set(folders)) == 3
    assert all("-stage2-softmax" in folder.name for folder in folders)


def test_a_record_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write(RECORD, tmp_path)

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        record.write(dataclasses.replace(RECORD, outcome="failed"), tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["outcome"] == "running"


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(record.RecordError, match=r"run\.json is damaged: "):
        record.read(tmp_path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(record.RecordError, match=r"cannot read .*: No such file"):
        record.read(tmp_path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(record.RecordError, match=r"cannot read .*: Is a directory"):
        record.read(tmp_path)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    ended = dataclasses.replace(RECORD, seconds=1, ended=record.utc_now())
    for entry in (RECORD, ended, LATIN_1):
        record.write(entry, tmp_path)
        assert record.read(tmp_path) == json.loads((tmp_path / "run.json").read_text())
    assert os.fsencode(record.read(tmp_path)["prefix"]) == b"/w/mod\xe8le/model"


def test_a_later_run_has_moved_the_checkpoints(tmp_path: Path) -> None:
    def run(day: int, archive: str | None = None, prefix: str = RECORD.prefix) -> Path:
        folder = tmp_path / f"{day}"
        folder.mkdir()
        started = f"2026-01-0{day}T00:00:00+00:00"
        entry = dataclasses.replace(RECORD, started=started, archive=archive, prefix=prefix)
        record.write(entry, folder)
        return folder

    first, other = run(1), run(2, "/w/数据/model.other", "/w/数据/another")
    resumed, second = run(3), run(4, "/w/数据/model.first")
    third = run(5, "/w/数据/model.second")
    found = [
        str(record.current_prefix(folder, record.read(folder)))
        for folder in (first, resumed, second, third, other)
    ]
    assert found == [
        "/w/数据/model.first/model",
        "/w/数据/model.first/model",
        "/w/数据/model.second/model",
        RECORD.prefix,
        "/w/数据/another",
    ]


def test_read_all_passes_over_what_is_no_record(tmp_path: Path) -> None:
    for name in ("1", "3", "2"):
        (tmp_path / name).mkdir()
        record.write(RECORD, tmp_path / name)
    (tmp_path / "3" / "run.json").write_text("{")
    (tmp_path / "4").mkdir()
    assert [folder.name for folder in record.folders(tmp_path)] == ["3", "2", "1"]
    found = list(record.read_all(tmp_path))
    assert [folder.name for folder, _ in found] == ["2", "1"]
    assert found[0][1]["prefix"] == "/w/数据/model"
    assert list(record.read_all(tmp_path / "none")) == []
