from __future__ import annotations

import pytest

from mfn_patcher.arguments import as_mapping
from mfn_patcher.data.verification_set import DRAWN
from mfn_patcher.recipes import loading
from mfn_patcher.recipes.model import Expectations, StageCheckpoint
from tests.support.repositories import ROOT


def test_stages_feed_one_another() -> None:
    softmax, arcface, finetune = loading.load().stages
    assert [stage.steps for stage in (softmax, arcface, finetune)] == [40000, 160000, 50000]
    assert softmax.starts_from is None
    assert arcface.starts_from == StageCheckpoint(2, 40000)
    assert finetune.starts_from == StageCheckpoint(3, 160000)
    assert finetune.value("--prefix") == arcface.value("--prefix")
    assert softmax.value("--pretrained") is None
    assert arcface.title == "stage 3 (arcface)"


def test_expectations() -> None:
    assert loading.load().expect == Expectations(
        ("fc1_weight", "fc7_weight"), ("fc7_bias",), {"y1": "uniform", "r50": "gaussian"}
    )


def test_issue_214() -> None:
    """The facts of upstream's issue 214, each from a command or a sentence there."""
    found = loading.load("issue-214")
    assert found.source == "https://github.com/deepinsight/insightface/issues/214"
    assert (found.cuda_visible_devices, found.batch_size, found.checkpoint_every) == (
        "0,1,2,3",
        512,
        2000,
    )
    softmax, arcface = found.stages
    shared = {
        "--network": "y1",
        "--per-batch-size": "128",
        "--emb-size": "128",
        "--fc7-wd-mult": "10.0",
        "--wd": "0.00004",
    }
    facts = [
        (softmax, "0", "240000,360000,440000", "32.0", "0.1", "2"),
        (arcface, "4", "100000,140000,160000", "64.0", "0.5", "1"),
    ]
    for stage, loss, lr_steps, scale, margin, ckpt in facts:
        own = {"--loss-type": loss, "--lr-steps": lr_steps, "--ckpt": ckpt}
        margins = {"--margin-s": scale, "--margin-m": margin}
        pairs = as_mapping(stage.arguments)
        assert {**pairs, **shared, **own, **margins} == pairs
    assert (softmax.steps, softmax.value("--max-steps")) == (140002, "140002")
    assert arcface.starts_from == StageCheckpoint(1, 140000)
    assert str(arcface.value("--pretrained")).endswith(",70")


def test_finetune_own_is_the_documented_last_stage_at_another_scale() -> None:
    own, documented = loading.load("finetune-own"), loading.load().stages[-1]
    (stage,) = own.stages
    given = as_mapping(stage.arguments)
    before = as_mapping(documented.arguments)
    assert {option for option in given if given[option] != before.get(option)} == {
        "--lr-steps", "--per-batch-size", "--margin-s", "--target", "--data-dir", "--pretrained",
        "--prefix",
    }  # fmt: skip
    # It starts where that stage ends.
    last = documented.steps // loading.load().checkpoint_every
    assert given["--pretrained"] == f"{before['--prefix']},{last}"
    assert given["--target"] == DRAWN


@pytest.mark.parametrize("name", loading.names())
def test_every_file_is_a_recipe_of_its_name_and_documented(name: str) -> None:
    assert loading.load(name).name == name
    assert f"| `{name}`" in (ROOT / "docs" / "recipes.md").read_text()
