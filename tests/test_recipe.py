from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfn_patcher import recipe
from mfn_patcher.recipe import Feed, RecipeError

TEXT = (Path(recipe.__file__).parent / "recipes" / "mobilefacenet.toml").read_text()


def test_stages_feed_one_another() -> None:
    softmax, arcface, finetune = recipe.load().stages
    assert [stage.steps for stage in (softmax, arcface, finetune)] == [40000, 160000, 50000]
    assert softmax.starts_from is None
    assert arcface.starts_from == Feed(2, 40000)
    assert finetune.starts_from == Feed(3, 160000)
    assert finetune.value("--prefix") == arcface.value("--prefix")
    assert softmax.value("--pretrained") is None
    assert arcface.title == "stage 3 (arcface)"


def test_expectations() -> None:
    expect = recipe.load().expect
    assert expect.wd_multiplied == ("fc1_weight", "fc7_weight")
    assert expect.absent_arguments == ("fc7_bias",)
    assert expect.initializer == {"y1": "uniform", "r50": "gaussian"}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2", [2]),
        ("arcface", [3]),
        ("2,3,4", [2, 3, 4]),
        ("softmax, 4", [2, 4]),
        ("all", [2, 3, 4]),
    ],
)
def test_choose(text: str, numbers: list[int]) -> None:
    assert [stage.number for stage in recipe.load().choose(text)] == numbers


@pytest.mark.parametrize("text", ["", "5", "arc", "2,", "3,2", "2,softmax", "2-4"])
def test_choose_refuses(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.load().choose(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "softmax"', 'name = "softmax"\nspeed = 1', "unknown key 'speed'"),
        ("verbose = 2000", "", "'verbose' is missing"),
        ("verbose = 2000", "verbose = '2000'", "'verbose' is no int"),
        ("verbose = 2000", "verbose = true", "'verbose' is no int"),
        ("verbose = 2000", "verbose = 0", "'verbose' is less than 1"),
        ("verbose = 2000", "verbose = ", "not TOML"),
        ("stage = 2, step", "stage = 1, step", "stage 1, which no earlier stage is"),
        ("stage = 3, step", "stage = 4, step", "stage 4, which no earlier stage is"),
        ("stage = 2, step = 40000", "stage = 2, step = 40001", "ends at 40000"),
        ("softmax,20", "softmax,19", "--pretrained is ../models"),
        ("starts_from = { stage = 2, step = 40000 }", "", "no starts_from"),
        ("number = 3", "number = 2", "comes after stage 2"),
        ('"--lr-steps", "80000,120000",', "", "lack --lr-steps"),
        ('"80000,120000"', '"80000,x"', "not whole numbers"),
        ('"80000,120000"', '"120000,80000"', "do not rise"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--odd"', "not pairs"),
        ('"--ckpt", "2"', '"--ckpt", 2', "not a string: 2"),
        ('y1 = "uniform"', "y1 = 1", "not a string: 1"),
        ("[expect]", "[expect]\nother = 1", "unknown key 'other'"),
    ],
)
def test_parse_refuses(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(RecipeError, match=re.escape(message)) as caught:
        recipe.parse(TEXT.replace(old, new, 1), "some.toml")
    assert str(caught.value).startswith("some.toml: ")
