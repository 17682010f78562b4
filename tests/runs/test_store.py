"""The runs of a workspace, made of records and of the log of an own run."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.runs.store import RunError, every, find
from tests.support.repositories import ROOT
from tests.support.runs import DAMAGED, RECORD, SAMPLE, WHOLE, make_run
from tests.support.tool import Tool, run_restricted, validated


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_run(tmp_path, "20260101T000000-stage2-softmax")
    other = dataclasses.replace(
        WHOLE, stage=3, name="arcface", chain_commit="f" * 40, patches=(), seconds=None
    )
    make_run(tmp_path, "20260102T000000-stage3-arcface", other)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["last", "20260102T000000-stage3-arcface", "20260102", "stage3", "arcface"]
)
def test_a_run_by_its_name(workspace: Path, name: str) -> None:
    assert find(workspace, name).name == "20260102T000000-stage3-arcface"


def test_a_run_by_its_path(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace / "runs" / "20260101T000000-stage2-softmax")
    assert find(Path("/none"), ".").name == "20260101T000000-stage2-softmax"


def test_a_beginning_goes_before_a_middle(workspace: Path) -> None:
    make_run(workspace, "stage3-by-hand")
    assert find(workspace, "stage3").name == "stage3-by-hand"


def test_a_whole_name_goes_before_a_beginning(workspace: Path) -> None:
    make_run(workspace, "20260101T000000-stage2-softmax-2")
    found = find(workspace, "20260101T000000-stage2-softmax")
    assert found.name == "20260101T000000-stage2-softmax"


def test_names_that_say_too_little_or_nothing(workspace: Path, tool: Tool) -> None:
    with pytest.raises(RunError, match=r"is ambiguous: 2026.*, 2026"):
        find(workspace, "2026")
    ran = tool("runs", "show", "stage9", "-w", workspace)
    assert ran.code == ExitCode.ERROR
    assert "there is no run 'stage9'" in ran.err
    assert "mfn-patch train" in tool("runs", "show", "last", "-w", workspace / "none").err


@pytest.mark.parametrize("name", ["last", "stage3", "20260102T000000-stage3-arcface"])
def test_the_log_of_a_run_by_its_name(workspace: Path, tool: Tool, name: str) -> None:
    log = workspace / "runs" / "20260102T000000-stage3-arcface" / "output.log"
    found = validated("log", tool("log", name, "-w", workspace, "--json").out)
    assert found == validated("log", tool("log", log, "--json").out)
    assert found["file"] == str(log)


def test_a_log_goes_before_a_run_of_its_name(
    workspace: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    Path("stage3").write_text("lr change to 0.01\n")
    assert tool("log", "stage3", "-w", workspace).out.endswith("0.01 from step unknown\n")


@pytest.mark.parametrize("command", ["log", "plot"])
def test_neither_a_log_nor_a_run(workspace: Path, tool: Tool, command: str) -> None:
    ran = tool(command, "stage3-arcfase", "-w", workspace)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert "there is no file 'stage3-arcfase', and there is no run 'stage3-arcfase'" in ran.err
    assert "Did you mean 'stage3-arcface'?" in ran.err
    ran = tool(command, "", "-w", workspace)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert "the name of the run is empty" in ran.err
    log = workspace / "runs" / "20260102T000000-stage3-arcface" / "output.log"
    log.write_text("the script could not be started\n")
    ran = tool(command, "last", "-w", workspace)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert f"{log} contains no line that train_softmax.py prints" in ran.err
    log.unlink()
    ran = tool(command, "last", "-w", workspace)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert f"{log} does not exist" in ran.err


@pytest.mark.parametrize(
    "content", [DAMAGED["a list"], DAMAGED["cut short"], DAMAGED["stage is True"], None]
)
def test_a_damaged_record_hides_no_run(workspace: Path, tool: Tool, content: bytes | None) -> None:
    folder = workspace / "runs" / "20260102T000000-stage3-arcface"
    before = validated("runs-list", tool("runs", "list", "-w", workspace, "--json").out)["runs"]
    if content is None:
        (folder / "run.json").unlink()
    else:
        (folder / "run.json").write_bytes(content)
    ran = tool("runs", "list", "-w", workspace)
    assert ran.code == 0
    name, state, *_ = ran.out.splitlines()[1].split()
    assert (name, state) == (folder.name, "unknown")
    assert ran.out.count("lfw 60.00 %") == 2, "its results are in its log"
    assert str(folder / "run.json") in ran.err
    found = validated("runs-list", tool("runs", "list", "-w", workspace, "--json").out)["runs"]
    assert found[1] == before[1]
    assert found[0]["record_error"] in ran.err
    assert found[0]["best"] == before[0]["best"]

    shown = tool("runs", "show", "stage3", "-w", workspace)
    assert shown.code == 0
    assert f"record         {found[0]['record_error']}\n" in shown.out
    assert "1,500  lfw        0.60000" in shown.out
    as_json = validated("runs-show", tool("runs", "show", folder, "--json").out)
    assert (as_json["record"], as_json["record_error"]) == (None, found[0]["record_error"])
    for command in (("compare", "stage2", "stage3"), ("compare", "last", "last", "--json")):
        assert tool("runs", *command, "-w", workspace).code == 0
    assert tool("report", "last", "-w", workspace).code == 0
    page = (folder / "report.html").read_text()
    assert "cannot read" in page or "run.json is damaged" in page


def test_runs_that_cannot_be_read_are_not_none(workspace: Path) -> None:
    (workspace / "runs").chmod(0)
    ran = run_restricted("runs", "list", "-w", str(workspace), folder=workspace)
    (workspace / "runs").chmod(0o755)
    assert (ran.returncode, ran.stdout) == (ExitCode.ERROR, "")
    assert ran.stderr.startswith(f"mfn-patch: {workspace / 'runs'}: Permission denied\n")


def test_a_run_that_is_at_work_without_a_record(workspace: Path) -> None:
    folder = workspace / "runs" / "20260102T000000-stage3-arcface"
    (folder / "run.json").write_text("{")
    with (folder / "output.log").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert find(workspace, "last").state == "running"
    assert find(workspace, "last").state == "unknown"


def test_list(workspace: Path, tool: Tool) -> None:
    found = validated("runs-list", tool("runs", "list", "-w", workspace, "--json").out)["runs"]
    assert [run["stage"] for run in found] == [3, 2]
    assert found[1]["best"]["lfw"] == {
        "accuracy": 0.6,
        "std": 0.37417,
        "step": 2000,
        "checkpoint": 4,
    }
    out = tool("runs", "list", "-w", workspace).out
    assert "completed  2,100 / 2,100           4  1:10:42  lfw 60.00 %  cfp_fp 65.00 %" in out
    assert len(out.splitlines()) == 3
    assert "There are no runs" in tool("runs", "list", "-w", workspace / "none").out


def test_a_run_that_was_killed_is_not_running(workspace: Path, tool: Tool) -> None:
    folder = make_run(
        workspace,
        "20260103T000000-stage4-finetune",
        dataclasses.replace(RECORD, steps=None),
        SAMPLE.read_bytes().partition(b"INFO:root:Epoch[7] Time cost")[0],
    )
    assert find(workspace, "last").state == "killed"
    with (folder / "output.log").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # as the script's own output has it
        assert find(workspace, "last").state == "running"
    (run, *_) = validated("runs-list", tool("runs", "list", "-w", workspace, "--json").out)["runs"]
    assert (run["state"], run["ended"]) == ("killed", None)
    assert run["last_step"] == 1581
    # What the tool could not write down any more is known from the log.
    row = tool("runs", "list", "-w", workspace).out.splitlines()[1].split()
    assert row[1:7] == ["killed", "1,581", "/", "∞", "3", "-"]


def test_show(workspace: Path, tool: Tool) -> None:
    found = validated("runs-show", tool("runs", "show", "stage2", "-w", workspace, "--json").out)
    for name, part in (("run", found["record"]), ("log", found["log"])):
        schema = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text())
        jsonschema.validate(part, schema)
    assert len(found["log"]["verifications"]) == 12
    out = tool("runs", "show", "stage2", "-w", workspace).out
    for text in (
        "state          completed\n",
        "environment    OMP_NUM_THREADS=2\n",
        "engine         mxnet (mxnet 1.9.1): it is installed\n",
        "patch          cccccccccccc recipe/0001-x.patch\n",
        f"fingerprint    {'d' * 64}\n",
        "learning rate  0.005 from step 700\n",
        "1,500  lfw        0.60000",
    ):
        assert text in out


def test_show_where_the_checkpoints_are_now(workspace: Path, tool: Tool) -> None:
    def shown() -> Any:
        ran = tool("runs", "show", "stage2-softmax", "-w", workspace, "--json")
        return validated("runs-show", ran.out)["prefix"]

    assert shown() == WHOLE.prefix
    later = dataclasses.replace(WHOLE, archive="/aside", started="2030-01-01T00:00:00+00:00")
    make_run(workspace, "20300101T000000-stage3-arcface", later)
    assert shown() == f"/aside/{Path(WHOLE.prefix).name}"


def test_a_run_that_said_nothing(workspace: Path, tool: Tool) -> None:
    folder = make_run(workspace, "20260103T000000-stage2-softmax", log=b"no such option\n")
    found = validated("runs-show", tool("runs", "show", "last", "-w", workspace, "--json").out)
    assert found["log"] is None
    assert "contains nothing about training" in tool("runs", "show", "last", "-w", workspace).out
    (folder / "output.log").unlink()
    assert len(every(workspace)) == 3
    assert tool("runs", "list", "-w", workspace).code == 0


def rows(tool: Tool, workspace: Path, *names: str) -> dict[tuple[str, str], dict[str, Any]]:
    ran = tool("runs", "compare", *names, "-w", workspace, "--json")
    found = validated("runs-compare", ran.out)["rows"]
    return {(row["group"], row["name"]): row for row in found}


def test_compare(workspace: Path, tool: Tool) -> None:
    log = (
        SAMPLE.read_bytes()
        .replace(b"lr=0.05,", b"lr=0.01, progress='/x',")
        .replace(b"0.90000+", b"0.95000+")
    )
    (workspace / "runs" / "20260102T000000-stage3-arcface" / "output.log").write_bytes(log)
    found = rows(tool, workspace, "stage2", "stage3")
    assert {key for key, row in found.items() if row["differs"]} == {
        ("run", "stage"),
        ("run", "name"),
        ("run", "seconds"),
        ("arguments", "lr"),
        ("code", "chain_commit"),
        ("code", "recipe/0001-x.patch"),
        ("results", "agedb_30: best accuracy"),
    }
    assert (found["arguments", "lr"]["a"], found["arguments", "lr"]["b"]) == (0.05, 0.01)
    assert found["code", "recipe/0001-x.patch"]["b"] is None
    assert ("data set", "property") in found
    out = tool("runs", "compare", "stage2", "stage3", "-w", workspace).out
    different, equal = (part.splitlines() for part in out.split("\n\n"))
    assert different[0].split() == [
        "different",
        "20260101T000000-stage2-softmax",
        "20260102T000000-stage3-arcface",
    ]
    named = [line[len("arguments  ") :].split()[0] for line in different[1:]]
    assert named[:3] == ["stage", "name", "seconds"]
    assert len(named) == 7
    assert not any(line.startswith("arguments  lr ") for line in equal)
    # What is equal is long, such as paths, and is written once.
    assert equal[0] == "equal"
    assert len(equal) == 1 + len(found) - 7
    again = tool("runs", "compare", "stage2", "stage2", "-w", workspace).out
    assert again.startswith("equal\n")


def test_without_a_log_the_commands_are_compared(workspace: Path, tool: Tool) -> None:
    command = (*WHOLE.command[:4], "0.2", "--cutoff=1")
    make_run(workspace, "20260103T0-x", dataclasses.replace(WHOLE, command=command), log=b"nothing")
    found = rows(tool, workspace, "stage2", "last")
    given = {key[1]: (row["a"], row["b"]) for key, row in found.items() if key[0] == "arguments"}
    assert given == {"lr": ("0.1", "0.2"), "per_batch_size": ("4", None), "cutoff": (None, "1")}


def test_records_of_an_older_version(workspace: Path, tool: Tool) -> None:
    folder = workspace / "runs" / "20260102T000000-stage3-arcface"
    entry = json.loads((folder / "run.json").read_text())
    for key in ("pin", "patches", "edited", "data_set", "seed", "steps"):
        del entry[key]
    (folder / "run.json").write_text(json.dumps(entry))
    assert tool("runs", "show", "last", "-w", workspace).code == 0
    assert rows(tool, workspace, "stage2", "last")["data set", "fingerprint"]["b"] is None
    shutil.rmtree(folder)
    assert tool("runs", "list", "-w", workspace).code == 0
