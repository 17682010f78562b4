"""The commands of docs/own-faces.md, as they stand there, at toy scale."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.photos import draw_people
from tests.support.repositories import ROOT
from tests.support.tool import Tool
from tests.support.trained import SHARING

pytestmark = [pytest.mark.mxnet, SHARING]

PAGE = (ROOT / "docs" / "own-faces.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for kind, block in re.findall(r"^```(.*?)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if not kind
]
# Two steps instead of 3,000 (the script ends one after the last), and as few pairs as can be.
TOY = {
    "make": ("--pairs", "20"),
    "train": ("--cpu", "--batch-size", "4", "--max-steps", "1", "--checkpoint-every", "1"),
    "eval": ("--cpu",),
}


def toy(command: list[str]) -> list[str]:
    name = command[1] if command[0] == "data" else command[0]
    if name == "make":
        place = command.index("--pairs")
        command = command[:place] + command[place + 2 :]
    ours, script = command, []
    if "--" in command:
        ours, script = command[: command.index("--")], command[command.index("--") :]
    return [*ours, *TOY.get(name, ()), *script]


@pytest.fixture
def home(workspace: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workspace, a checkpoint to start from, and aligned faces."""
    folder = workspace.parent
    models = trained / "models" / "MobileFaceNet"
    (folder / "models").mkdir()
    for end, name in (("0001.params", "0025.params"), ("symbol.json", "symbol.json")):
        shutil.copy(models / f"model-y1-softmax-{end}", folder / f"models/model-y1-arcface-{name}")
    people = draw_people(folder / "faces", people=12, photos=10)
    for number, name in enumerate(("ann", "bob")):
        (people / f"person-{number:02}").rename(people / name)
    for path in list(people.rglob("*.jpg")):
        path.rename(path.with_name(f"{int(path.stem) + 1:02}.jpg"))
    monkeypatch.chdir(folder)
    return folder


def test_from_a_folder_of_photos_to_a_compared_pair(home: Path, tool: Tool) -> None:
    assert {command[0] for command in COMMANDS} == {"data", "train", "eval", "export", "compare"}
    outputs = []
    for command in COMMANDS:
        ran = tool(*toy(command))
        assert ran.code == 0, (command, ran.err)
        outputs.append((command, ran))

    trained = next(ran for command, ran in outputs if command[0] == "train")
    # The people in pairs are not trained on, and the rest are others than the checkpoint's four.
    assert "trained with 4 identities, the data set has 10" in trained.err
    assert re.findall(r"\[own\]\[(\d)\]Accuracy-Flip", trained.out) == ["1", "2"]
    records = [json.loads(path.read_text()) for path in home.glob("insightface/runs/*/run.json")]
    assert {record["recipe"] for record in records} == {"finetune-own", "mobilefacenet"}

    evaluated = [ran.out for command, ran in outputs if command[0] == "eval"]
    assert evaluated[0].count("own") >= 2
    assert "best" in evaluated[0]
    # Two steps teach nothing about faces: that it tells people apart is not for this test to show.
    same, different = (float(ran.out) for command, ran in outputs[-2:])
    assert -1 <= different <= 1
    assert -1 <= same <= 1
    assert same != different
