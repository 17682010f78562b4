"""The commands of docs/training.md, recipes.md and patches.md, as they stand there, at toy scale.

tests/upstream/test_own_faces.py does this for docs/own-faces.md, tests/test_ci.py for docs/ci.md.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.photos import draw_people
from tests.support.repositories import ROOT, edit
from tests.support.tool import Ran, Tool

# Two steps of each stage (the script ends one after the last), and checkpoint 1 in place of 25 and
# 80; the other trainings are only planned.
TRAIN = "train --stage all --data-dir /data/faces_ms1m_112x112"
_TOY = ("--cpu", "--batch-size", "4", "--max-steps", "2", "--checkpoint-every", "2")
TOY = {
    "doctor": ("--cpu", "--batch-size", "4"),
    "eval": ("--cpu",),
    TRAIN: (*_TOY, "--skip-accuracy-gate"),
    f"{TRAIN} --resume": (*_TOY, "--skip-accuracy-gate"),
    "train": ("--dry-run",),
}


def commands(page: str) -> list[str]:
    """Return what follows ``mfn-patch`` in each line of a page's blocks of commands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(block for kind, block in blocks if not kind).splitlines()
    return [line.removeprefix("mfn-patch ") for line in lines if line.startswith("mfn-patch ")]


@pytest.fixture
def home(upstream_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: nothing in it but data sets and photos, as the user has them."""
    assert upstream_address
    data = tmp_path / "data" / "faces_ms1m_112x112"
    # Verifying on the other sets as well would take longer than training.
    synthesise(data, identities=4, images_per_identity=4, sets=["lfw"])
    people = draw_people(tmp_path / "faces", people=2, photos=1)
    for photo, name in zip(sorted(people.rglob("*.jpg")), ("a.jpg", "b.jpg")):
        shutil.copy(photo, tmp_path / name)
    shutil.copy(ROOT / "tests/recorded/training.log", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(tool: Tool, home: Path, command: str) -> Ran:
    """Run a command of a page, with what makes it small."""
    toy = TOY.get(command, TOY.get(command.split(maxsplit=1)[0], ()))
    small = re.sub("arcface,(25|80)", "arcface,1", command).replace("0025.onnx", "0001.onnx")
    words = shlex.split(small.replace("/data/", f"{home}/data/"))
    return tool(words[0], *toy, *words[1:])


def test_the_readme_shows_what_is_run_here() -> None:
    assert set(commands("README.md")) <= set(commands("docs/training.md"))


@pytest.mark.mxnet
@pytest.mark.long
@pytest.mark.timeout(900)
def test_from_nothing_to_a_compared_pair_and_a_report(home: Path, tool: Tool) -> None:
    outputs = {}
    for command in commands("docs/training.md"):
        ran = run(tool, home, command)
        # What is only planned could not start: here is neither a GPU nor MS1M.
        planned = "--network y1" in ran.out and "cannot train on" in ran.err
        assert ran.code == 0 or planned, (command, ran.out, ran.err)
        outputs[command] = ran
    assert outputs[f"{TRAIN} --dry-run"].out.count("--network y1") == 3
    assert outputs[TRAIN].out.count("Saved checkpoint") == 3
    compared = next(ran.out for command, ran in outputs.items() if command.startswith("compare"))
    assert -1 <= float(compared) <= 1
    assert outputs["runs list"].out.count("completed") == 3
    assert Path(outputs["report last"].out.strip()).is_file()
    assert (home / "curves.png").is_file()


def test_a_recipe_of_ones_own(home: Path, tool: Tool) -> None:
    write, check, plan = commands("docs/recipes.md")
    text = tool(*write.partition(" > ")[0].split()).out
    mine = home / write.partition(" > ")[2]
    mine.write_text(text.replace('name = "mobilefacenet"', 'name = "mine"'), encoding="utf-8")
    assert tool(*check.split()).out == mine.read_text(encoding="utf-8")
    ran = tool(*plan.split(), "--cpu")
    assert ran.code == 1
    assert "cannot train on" in ran.err
    assert ran.out.count("--network y1") == 3


def test_patches_are_changed_and_added(home: Path, tool: Tool) -> None:
    shutil.copytree(ROOT / "patches", home / "patches")
    for name in ("pinned_commit.txt", "upstream.toml"):
        shutil.copy(ROOT / name, home)
    # test_drift.py and test_rebase.py run what the page shows after these.
    apply, refresh, new, *_ = commands("docs/patches.md")
    assert tool(*apply.split()).code == 0
    script = "src/train_softmax.py"
    edit(home / "insightface", script, b"learning rate mult for fc7", b"learning rate of fc7")
    ran = tool(*refresh.split())
    assert (ran.code, ran.err) == (0, "")
    changed = (home / "patches/recipe/0002-effective-lr-and-wd-multipliers.patch").read_text()
    assert "default=1.0, help='learning rate of fc7')" in changed
    edit(home / "insightface", script, b"help='start learning rate'", b"help='first learning rate'")
    asked = ("Why", "Origin", "Effect")
    header = [word for name in asked for word in ("--header", f"{name}=None.")]
    author = ("--author", "A <a@b.invalid>")
    ran = tool(*new.split(), "--subject", "Say first", *header, *author)
    assert ran.code == 0, ran.err
    assert (home / "patches" / "local" / "0001-log-the-seed.patch").is_file()
    assert tool("lint").code == 0
