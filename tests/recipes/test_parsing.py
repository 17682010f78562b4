from __future__ import annotations

import re

import pytest

from mfn_patcher.recipes import parsing
from mfn_patcher.recipes.model import RecipeError
from tests.support.recipes import TEXT

EVERY = "checkpoint_every = 2000"
START = "stage = 2, step = 40000"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "softmax"', 'name = "softmax"\nspeed = 1', "unknown key 'speed'"),
        (EVERY, "", "'checkpoint_every' is missing"),
        (EVERY, "checkpoint_every = '2000'", "'checkpoint_every' must be an integer, got '2000'"),
        (EVERY, "checkpoint_every = true", "'checkpoint_every' must be an integer, got True"),
        ('source = "https', 'source = []  # "https', "'source' must be a string, got []"),
        (EVERY, "checkpoint_every = 0", "'checkpoint_every' must be at least 1, got 0"),
        (EVERY, "checkpoint_every = ", "invalid TOML: Invalid value (at line 9, "),
        (
            EVERY,
            "checkpoint_every = 2000\ncheckpoint_every = 1",
            "invalid TOML: Cannot overwrite a value",
        ),
        ("stage = 2, step", "stage = 1, step", "stage 1, which is not an earlier stage"),
        ("stage = 3, step", "stage = 4, step", "stage 4, which is not an earlier stage"),
        (START, "stage = 2, step = 42000", "ends at step 40000"),
        (START, "stage = 2, step = 39999", "which saves a checkpoint every 2000"),
        (f"starts_from = {{ {START} }}", "starts_from = 2", "'starts_from' must be a table, got 2"),
        ('"--ckpt", "2"', '"--ckpt", "1"', "softmax), which does not save all of its checkpoints"),
        ('"--ckpt", "2"', '"--ckpt", "x"', "--ckpt must be an integer, got 'x'"),
        ('late_lr_steps = "', '# "', "ends after 40000 steps, before its learning-rate step 80000"),
        (
            "steps = 160000",
            "steps = 140000",
            "ends after 140000 steps, before its learning-rate step 160000",
        ),
        ("softmax,20", "softmax,19", "--pretrained is ../models"),
        (f"starts_from = {{ {START} }}", "", "no starts_from"),
        (
            '"--lr-steps", "80000,120000"',
            '"--lr-steps", "80000,120000", "--pretrained", "../models/x"',
            "--pretrained must be a prefix, a comma and a number, got '../models/x'",
        ),
        ("number = 3", "number = 2", "follows stage 2"),
        ('name = "arcface"', 'name = "softmax"', "stage 3 (softmax): follows stage 2 (softmax)"),
        ('name = "softmax"', 'name = "all"', "which means something else to --stage"),
        ('name = "softmax"', 'name = "7"', "which means something else to --stage"),
        ('name = "softmax"', 'name = "../softmax"', "'name' is '../softmax'"),
        ('name = "mobilefacenet"', 'name = ""', "'name' is ''"),
        ('script = "train_', 'script = "../train_', "'script' must name a file in src"),
        ('script = "train_', 'script = "-cimport os #', "'script' must name a file in src"),
        (
            '"--network", "y1"',
            '"--network", "--prefix=/"',
            "would read '--prefix=/', the value of --network,",
        ),
        ('"--lr-steps", "80000,120000",', "", "lack --lr-steps"),
        ('"80000,120000"', '"80000,x"', "--lr-steps must be integers"),
        ('"80000,120000"', '"120000,80000"', "--lr-steps must increase"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--odd"', "not pairs"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--ckpt", "1"', "have --ckpt twice"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--max-steps", "5"', "steps makes it 40000"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--verbose", "5"', "checkpoint_every makes it 2000"),
        (
            'cuda_visible_devices = "0"',
            'cuda_visible_devices = "0,1"',
            "cuda_visible_devices makes it 256",
        ),
        ('cuda_visible_devices = "0"', 'cuda_visible_devices = "0,1,2"', "split evenly over 3"),
        ("faces_ms1m_112x112", "faces,ms1m", "--data-dir contains a comma"),
        ('"--ckpt", "2"', '"--ckpt", 2', "expected a string, got 2"),
        ('y1 = "uniform"', "y1 = 1", "expected a string, got 1"),
        ("[expect]", "[expect]\nother = 1", "unknown key 'other'"),
    ],
)
def test_parse_refuses(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(RecipeError, match=re.escape(message)) as caught:
        parsing.parse(TEXT.replace(old, new, 1), "some.toml")
    assert str(caught.value).startswith("some.toml: ")


def test_a_recipe_without_stages() -> None:
    head = TEXT.partition("[expect]")[0]
    with pytest.raises(RecipeError, match="'stages' is missing"):
        parsing.parse(head, "some.toml")
    for stages, message in (("[]", "there are no stages"), ("[1]", "expected a table, got 1")):
        with pytest.raises(RecipeError, match=message):
            parsing.parse(f"{head}\nstages = {stages}", "some.toml")
