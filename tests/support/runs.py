"""Runs as tests make them: records whole and damaged, and logs of the training script."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest

from mfn_patcher.data.fingerprint import FileFingerprint, Fingerprint
from mfn_patcher.runs import record
from mfn_patcher.runs.code import AppliedPatch
from mfn_patcher.runs.record import RunRecord
from tests.support.repositories import ROOT

SAMPLE = ROOT / "tests/recorded/training.log"
# The same as the patched script prints it, which also prints the loss.
SAMPLE_WITH_LOSS = re.sub(
    rb"(Batch \[(\d+)-\d+\].*acc=\S+)",
    lambda line: line[1] + b"\tlossvalue=%.6f" % (9 - int(line[2]) / 1000),
    SAMPLE.read_bytes(),
)
# Of 12 images, three steps an epoch, as the patched script printed it under MXNet 1.9.1.
SHORT_EPOCHS = ROOT / "tests/recorded/short_epochs.log"
# What the author of the recipe logged; never a part of this project.
REFERENCE = ROOT.parent / "shared" / "reference" / "logs"

RECORD = RunRecord(
    recipe="mobilefacenet",
    stage=2,
    name="softmax",
    command=("python", "-u", "train_softmax.py"),
    shell_line="python -u train_softmax.py",
    folder="/w/src",
    environment={},
    batch_size=512,
    steps=None,
    checkpoint_every=2000,
    prefix="/w/数据/model",
    data_dir="/w/data",
    start=None,
    versions={},
    engine={"name": "mxnet", "build": "mxnet 1.9.1", "reason": "it is installed"},
    pin=None,
    chain_commit=None,
    patches=(),
    edited=False,
    trainer_sha256="0" * 64,
    data_set=Fingerprint("0" * 64, {}),
    seed=None,
    precision="fp32",
    resumed_from=None,
    resumed_checkpoint=None,
    archive=None,
    started=record.utc_now(),
)

# In the encoding of an old system.
LATIN_1 = dataclasses.replace(
    RECORD,
    prefix=os.fsdecode(b"/w/mod\xe8le/model"),
    data_dir=os.fsdecode(b"/w/donn\xe9es"),
    command=("python", os.fsdecode(b"/w/donn\xe9es")),
)

WHOLE = dataclasses.replace(
    RECORD,
    command=("python", "-u", "train_softmax.py", "--lr", "0.1", "--per-batch-size=4"),
    environment={"OMP_NUM_THREADS": "2"},
    steps=2100,
    versions={"mfn-patcher": "0.1.0", "python": "3.11.7"},
    pin="a" * 40,
    chain_commit="b" * 40,
    patches=(AppliedPatch("recipe/0001-x.patch", "c" * 64, "b" * 40),),
    data_set=Fingerprint("d" * 64, {"property": FileFingerprint(10, "e" * 64, whole=True)}),
    outcome="completed",
    ended="2026-01-01T00:00:00+00:00",
    seconds=4242.4,
    exit_status=0,
    last_checkpoint=4,
)

WRITTEN = json.loads(json.dumps(dataclasses.asdict(RECORD)))
DAMAGED = {
    "nothing": b"",
    "cut short": b'{"stage": ',
    "a list": b"[]",
    "a text": b'"running"',
    "null": b"null",
    "no UTF-8": b'{"recipe": "\xff"}',
    "deeply nested": b"[" * 100_000,
    "no number": json.dumps({**WRITTEN, "seconds": float("nan")}).encode(),
    "beyond all numbers": json.dumps(WRITTEN).replace('"stage": 2', '"stage": 1e999').encode(),
    "a number beyond all floats": json.dumps({**WRITTEN, "seconds": 10**400}).encode(),
    "half a character": json.dumps({**WRITTEN, "recipe": "\udc80"}).encode(),
    "half a character in a path": json.dumps({**WRITTEN, "prefix": "\ud800"}).encode(),
    **{
        f"{name} is {value}": json.dumps({**WRITTEN, name: value}).encode()
        for name in WRITTEN
        for value in (True, [1], {"a": [0]})
        if not (name == "edited" and value is True)
    },
    **{
        f"{name} is no time": json.dumps({**WRITTEN, name: "yesterday"}).encode()
        for name in ("started", "ended")
    },
    **{
        f"{name} is missing": json.dumps({**WRITTEN, name: None}).encode()
        for name in ("recipe", "stage", "command", "batch_size", "prefix", "started", "outcome")
    },
}


def make_run(
    workspace: Path, name: str, entry: RunRecord = WHOLE, log: bytes | None = None
) -> Path:
    """Make the folder of a run in a workspace; return it."""
    folder = workspace / "runs" / name
    folder.mkdir(parents=True)
    record.write(entry, folder)
    (folder / "output.log").write_bytes(SAMPLE.read_bytes() if log is None else log)
    return folder


def reference(name: str) -> Path:
    """Return a log of the recipe's author; the test is skipped if it is not available."""
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"the recipe author's logs are not at {REFERENCE}")
    return path
