"""What is said about a data set before training on it, above all to those who made their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.data.making.data_set import Request, make
from mfn_patcher.data.verification_set import DRAWN, DRAWN_RECIPE
from mfn_patcher.finding import Level
from mfn_patcher.recipes import DEFAULT, loading
from mfn_patcher.runs.code import Code
from mfn_patcher.training import data_set
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.options import Options
from mfn_patcher.training.planner import plan_chain
from tests.support.photos import draw_people
from tests.support.tool import Tool

pytestmark = pytest.mark.usefixtures("engines_are_imported_once")

USE_THE_RECIPE = "To fine-tune on your own faces, pass --recipe finetune-own."


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of own faces, of 24 images, with a set of 20 pairs."""
    folder = tmp_path_factory.mktemp("own")
    faces = draw_people(folder / "faces", people=6, photos=6)
    make(folder / "data", Request(faces, ("20",)), on_progress=lambda *_: None)
    return folder / "data"


def said(
    folder: Path,
    recipe_name: str = DEFAULT,
    batch_size: int = 8,
    script: tuple[str, ...] = (),
    workers: int | None = None,
) -> list[tuple[Level, str]]:
    """Return the level and remedy of each finding about the data set of a recipe's first stage."""
    recipe = loading.load(recipe_name)
    options = Options(
        data_dir=folder, batch_size=batch_size, cpu=True, script_arguments=script, workers=workers
    )
    plan, *_ = plan_chain(recipe, recipe.stages, options)
    context = RunContext(folder.parent, "python", {}, Code())
    return [(each.level, each.remedy) for each in data_set.check(plan, context)]


def test_the_recipe_for_own_faces_measures_the_set_that_is_drawn(own: Path) -> None:
    assert loading.load(DRAWN_RECIPE).stages[0].value("--target") == DRAWN
    assert said(own, DRAWN_RECIPE) == []


def test_only_one_of_several_workers_verifies(own: Path) -> None:
    """40 images are fewer than a batch of 48, but not fewer than half of it."""
    too_large = (Level.ERROR, "Pass --batch-size 24 or less.")
    assert said(own, DRAWN_RECIPE, batch_size=48) == [too_large] * 2
    assert said(own, DRAWN_RECIPE, batch_size=48, workers=2) == [too_large]


def test_another_recipe_on_own_faces(own: Path) -> None:
    named = "End the training command with -- --target own."
    assert said(own) == [(Level.WARNING, named), (Level.WARNING, USE_THE_RECIPE)]
    assert said(own, batch_size=512) == [
        (Level.ERROR, "Pass --batch-size 24 or less."),
        (Level.WARNING, USE_THE_RECIPE),
    ]


def test_a_recipe_of_the_user_is_their_own_choice(own: Path, tmp_path: Path) -> None:
    text, _ = loading.read_text(DEFAULT)
    (tmp_path / "mine.toml").write_text(text.replace(f'"{DEFAULT}"', '"mine"'))
    assert said(own, str(tmp_path / "mine.toml"), batch_size=512) == [
        (Level.ERROR, "Pass --batch-size 24 or less.")
    ]


def test_own_faces_without_pairs(own: Path, tmp_path: Path) -> None:
    for name in ("train.rec", "train.idx", "property", "identities.txt"):
        (tmp_path / name).symlink_to(own / name)
    draw = "`mfn-patch data make --pairs` draws pairs."
    assert said(tmp_path) == [(Level.WARNING, draw), (Level.WARNING, USE_THE_RECIPE)]
    assert said(tmp_path, DRAWN_RECIPE) == [(Level.WARNING, draw)]


def test_a_set_of_another_name(own: Path, tmp_path: Path) -> None:
    for name in ("train.rec", "train.idx", "property"):
        (tmp_path / name).symlink_to(own / name)
    (tmp_path / "mine.bin").symlink_to(own / "own.bin")
    named = "End the training command with -- --target mine."
    assert said(tmp_path) == [(Level.WARNING, named)]
    # A set that is asked for is missed, also beside one that exists.
    assert said(tmp_path, script=("--target", "mine, own")) == [(Level.WARNING, named)]
    assert said(tmp_path, script=("--target", "mine")) == []


def test_no_data_set_yet(own: Path, tmp_path: Path) -> None:
    _, (level, remedy) = said(tmp_path / "none")
    assert level is Level.WARNING
    assert "`mfn-patch data make`, and pass it with --data-dir and --recipe finetune-own" in remedy
    ((level, remedy),) = said(own.parent / "faces")
    assert level is Level.ERROR
    assert f"`mfn-patch data make OUT {own.parent / 'faces'} --pairs 600`" in remedy
    assert "--recipe finetune-own" in remedy
    # Who has named that recipe is not told of it.
    assert "--recipe" not in said(tmp_path / "none", DRAWN_RECIPE)[0][1]


@pytest.mark.long
def test_doctor_and_train_say_it(own: Path, tool: Tool, tmp_path: Path) -> None:
    given = ("--cpu", "--data-dir", own, "-w", tmp_path / "none")
    ran = tool("doctor", *given)
    assert ran.code == 4
    assert "failed  data set: train.rec: 24 images are fewer than a batch of 512" in ran.out
    assert USE_THE_RECIPE in ran.out
    ran = tool("train", "--stage", "2", *given)
    assert ran.code == 1
    ran = tool("doctor", *given, "--batch-size", 8)
    assert "warning data set: verification sets: " in ran.out
    assert "ok      data set: 4 identities in " in ran.out
    ran = tool("doctor", *given, "--batch-size", 8, "--recipe", "finetune-own")
    assert "warning data set" not in ran.out
    assert "ok      data set: 4 identities in " in ran.out
