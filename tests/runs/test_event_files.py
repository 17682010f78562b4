"""The files of events, while a run goes and after what a run can meet."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.runs.event_files import EventFiles, read_verifications
from mfn_patcher.runs.events import Event, NotFinite, Verification
from mfn_patcher.runs.log import EventDispatcher
from tests.support.launched import wait_until
from tests.support.runs import SAMPLE

VERIFIED = Verification(None, "lfw", 5, 0.5, 0.1, math.nan, None, None)


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def verifications(folder: Path) -> list[dict[str, str]]:
    with (folder / "verification.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_that_a_log_tells(tmp_path: Path) -> None:
    with EventFiles(tmp_path) as files:
        watch = EventDispatcher(files)
        for byte in range(0, SAMPLE.stat().st_size, 100):
            watch.heard(SAMPLE.read_bytes()[byte : byte + 100])
        watch.heard(b"")
    found = events(tmp_path)
    assert found[0]["event"] == "arguments"
    assert found[0]["values"]["batch_size"] == 2
    names = [event["event"] for event in found]
    assert names.count("speed") == SAMPLE.read_text().count("Speed:")
    assert names.count("checkpoint_saved") == 4
    assert names.count("learning_rate") == 3
    rows = verifications(tmp_path)
    assert len(rows) == names.count("verification") == 12
    assert {**rows[-1], "time": ""} == {
        "time": "",
        "set": "agedb_30",
        "step": "2000",
        "accuracy": "0.85",
        "std": "0.22913",
        "xnorm": "18.550052",
    }


def test_each_event_is_in_the_files_at_once(tmp_path: Path) -> None:
    with EventFiles(tmp_path) as files:
        files([VERIFIED])
        files([NotFinite(None, "xnorm", "nan", 5, "lfw")])
        assert [(event["event"], event["step"]) for event in events(tmp_path)] == [
            ("verification", 5),
            ("not_finite", 5),
        ]
        assert events(tmp_path)[0]["xnorm"] is None
        assert verifications(tmp_path)[0]["xnorm"] == "nan"


def test_every_consumer_gets_every_event() -> None:
    seen: tuple[list[Event], list[Event], list[Event]] = ([], [], [])
    watch = EventDispatcher(seen[0].extend, seen[1].append, seen[2].append)
    watch.heard(SAMPLE.read_bytes())
    assert seen[0] == seen[1] == seen[2] != []


def test_a_full_disk_is_told_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            self.write("")

    with EventFiles(tmp_path) as files:
        monkeypatch.setattr(files, "_files", [Full(), Full()])
        files([VERIFIED])
        files([VERIFIED])
    assert caplog.messages == [
        "no longer writing events.jsonl and verification.csv: No space left on device"
    ]


def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EventFiles(tmp_path / "none") as files:
        files([VERIFIED])
    assert len(caplog.messages) == 1


def test_a_tool_that_is_killed_leaves_what_was_seen(tmp_path: Path) -> None:
    code = (
        "import io, os, pathlib, sys\n"
        "from mfn_patcher.training import companions, process\n"
        "from mfn_patcher.runs.event_files import EventFiles\n"
        "from mfn_patcher.runs.log import EventDispatcher\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "command = ['sh', '-c', 'cat \"$0\"; sleep 60', sys.argv[2]]\n"
        "launch = process.Launch(command, folder, os.environ, folder / 'output.log')\n"
        "with EventFiles(folder) as files:\n"
        "    process.run(launch, io.BytesIO(), companions.ALONE, EventDispatcher(files))"
    )
    tool = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(SAMPLE)])
    try:
        assert wait_until(
            lambda: (tmp_path / "verification.csv").exists() and len(verifications(tmp_path)) == 12
        )
    finally:
        child = Path(f"/proc/{tool.pid}/task/{tool.pid}/children").read_text()
        tool.kill()
        tool.wait()
        os.killpg(int(child), signal.SIGKILL)
    assert events(tmp_path)[-1]["event"] == "speed"


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"2026-01-01T00:00:00+00:00,lfw,50",
        b"\x00\xff,lfw,x,y,z,\n",
        b"yesterday,lfw,5,0.5,0.1,1\n",
        b'"2026\n',
        b"one,two\n" * 3,
    ],
)
def test_damaged_rows_hide_no_others(tmp_path: Path, damage: bytes) -> None:
    with EventFiles(tmp_path) as files:
        files([VERIFIED])
        path = tmp_path / "verification.csv"
        path.write_bytes(path.read_bytes() + damage)
    path.write_bytes(path.read_bytes() + b"\n2026-01-01T00:00:00+00:00,lfw,10,0.75,0.1,\n")
    found = [(entry.step, entry.accuracy) for entry in read_verifications(tmp_path)]
    assert found == [(5, 0.5), (10, 0.75)]
    assert read_verifications(tmp_path / "none") == []
