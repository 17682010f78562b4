from __future__ import annotations

import dataclasses
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mfn_patcher import trainer
from mfn_patcher.arguments import as_mapping
from mfn_patcher.cli.train import train
from mfn_patcher.errors import ExitCode
from mfn_patcher.recipes import loading
from mfn_patcher.training.command_line import explain, shell_line
from mfn_patcher.training.options import Options, PlanError, parse_checkpoint
from mfn_patcher.training.plan import Resumption, StagePlan, Start
from mfn_patcher.training.planner import plan, plan_chain

RECIPE = loading.load()
PROJECT = Path(__file__).parents[2]
DOCUMENTED = (PROJECT / "tests/recorded/documented_commands.txt").read_text().splitlines()
MODELS = "../models/MobileFaceNet"


def make(stage: int, **options: Any) -> StagePlan:
    return plan(RECIPE, RECIPE.stage(stage), Options(**options))


def value(made: StagePlan, option: str) -> str:
    # The script takes the last of several, as argparse does.
    positions = [i for i, token in enumerate(made.arguments) if token == option]
    return made.arguments[positions[-1] + 1]


def split(text: str) -> list[str]:
    # A shell joins the lines; shlex alone would not.
    return shlex.split(text, comments=True)


def changes(made: StagePlan) -> dict[str, str]:
    assert all(change.reason for change in made.changed)
    return {change.name: change.value for change in made.changed}


# -- the original recipe -------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "steps"), [(2, 40000), (3, 160000), (4, 50000)])
def test_line_is_the_documents_then_what_is_added(stage: int, steps: int) -> None:
    documented = shlex.split(DOCUMENTED[stage - 2])
    tokens = split(shell_line(make(stage)))
    assert tokens[: len(documented)] == documented
    assert tokens[len(documented) :] == ["--max-steps", str(steps)]
    line = " ".join(DOCUMENTED[stage - 2].split())
    assert shell_line(make(stage)) == f"{line} --max-steps {steps}"


def test_document_is_unchanged() -> None:
    source = PROJECT.parent / "shared/reference/recipe-source.md"
    if not source.exists():
        pytest.skip("the original recipe is not available; its lines are kept in tests/recorded")
    lines = source.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("CUDA_VISIBLE_DEVICES=")] == DOCUMENTED


def test_nothing_is_changed_by_default() -> None:
    for made in plan_chain(RECIPE, RECIPE.stages, Options()):
        assert made.changed == ()
        assert made.documented == made.stage.arguments
        assert [added.tokens[0] for added in made.added] == ["--max-steps"]


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
def test_a_dry_run_plans_where_nothing_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    ran = CliRunner().invoke(train, ["--stage", "all", "--dry-run"], catch_exceptions=False)
    assert ran.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert "train_softmax.py does not exist" in ran.stderr
    words = [split(part) for part in ran.stdout.split("\n\n")]
    for documented, tokens, steps in zip(DOCUMENTED, words, ("40000", "160000", "50000")):
        path, *line = tokens
        assert path == f"PYTHONPATH={trainer.FOLDER}"
        assert line == [*shlex.split(documented), "--max-steps", steps]
    assert f"# stage 2 (softmax), runs in {tmp_path}/insightface/src, python is /" in ran.stdout
    assert "# added: --max-steps 50000 — the original recipe gives no number" in ran.stdout


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
def test_relative_paths_are_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--stage", "3", "--dry-run", "--data-dir", "数据 1", "--models-dir", "../m"]
    arguments += ["--pretrained", "m/model,7"]
    ran = CliRunner().invoke(train, arguments, catch_exceptions=False)
    tokens = split(ran.stdout)
    assert f"{tmp_path}/数据 1" in tokens
    assert f"{tmp_path.parent}/m/model-y1-arcface" in tokens
    assert f"{tmp_path}/m/model,7" in tokens


def test_a_recipe_of_four_gpus_with_an_end_of_its_own() -> None:
    issue = loading.load("issue-214")
    for made, steps in zip(plan_chain(issue, issue.stages, Options()), ("140002", "170000")):
        assert (made.recipe, made.visible_devices, made.batch_size) == ("issue-214", "0,1,2,3", 512)
        assert made.changed == ()
        assert made.arguments[: len(made.stage.arguments)] == made.stage.arguments
        assert made.arguments.count("--max-steps") == 1
        assert value(made, "--max-steps") == steps
    softmax, arcface = plan_chain(
        issue,
        issue.stages,
        Options(gpus="0", batch_size=256, scale_steps=True, checkpoint_every=1000),
    )
    assert changes(softmax) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "--per-batch-size": "256",
        "--lr-steps": "480000,720000,880000",
        "--max-steps": "280004",
    }
    assert arcface.start == Start("../models/issue-214/model-y1-softmax", 280, 1)
    # The issue has the script save what it finds good: whether that is the last, nobody knows.
    assert (softmax.last_checkpoint, arcface.last_checkpoint) == (280, None)
    assert any("--ckpt 2 saves all" in note for note in arcface.notes)
    alone = plan(issue, issue.stage(1), Options(gpus="0"))
    assert changes(alone) == {"CUDA_VISIBLE_DEVICES": "0", "--per-batch-size": "512"}
    assert alone.changed[1].reason == "512 images per step over 1 device"
    endless = plan(issue, issue.stage("softmax"), Options(until_stopped=True))
    assert (value(endless, "--max-steps"), endless.steps) == ("0", None)


def test_lr_steps_that_never_come_are_told() -> None:
    assert any("come after the last step" in note for note in make(2).notes)
    assert not any("come after the last step" in note for note in make(3).notes)


# -- steps --------------------------------------------------------------------------------


def test_max_steps_are_taken_as_given() -> None:
    made = make(3, max_steps=4000, batch_size=256, scale_steps=True)
    assert value(made, "--max-steps") == "4000"
    assert made.start == Start(f"{MODELS}/model-y1-softmax", 2, 2)
    assert made.last_checkpoint == 2


def test_until_stopped() -> None:
    made = make(2, until_stopped=True)
    assert "--max-steps" not in made.arguments
    assert made.steps is None
    assert made.last_checkpoint is None
    assert "\\" not in shell_line(made)
    with pytest.raises(PlanError, match="exclusive"):
        make(2, until_stopped=True, max_steps=3)
    with pytest.raises(PlanError, match="next stage"):
        plan_chain(RECIPE, RECIPE.stages, Options(until_stopped=True))


def test_checkpoint_every_moves_the_checkpoint_to_start_from() -> None:
    made = make(3, checkpoint_every=1000)
    assert made.added[-1].tokens == ("--verbose", "1000")
    assert changes(made) == {"--pretrained": f"{MODELS}/model-y1-softmax,40"}
    assert made.last_checkpoint == 160


@pytest.mark.parametrize("name", loading.names())
@pytest.mark.parametrize("every", [None, 2000, 7])
def test_the_script_saves_when_the_plan_says(name: str, every: int | None) -> None:
    recipe = loading.load(name)
    for stage in recipe.stages:
        made = plan(recipe, stage, Options(checkpoint_every=every, until_stopped=True))
        verbose = as_mapping(made.arguments).get("--verbose", "2000")
        assert int(verbose) == made.checkpoint_every == (every or recipe.checkpoint_every)


def test_a_short_chain_feeds_itself() -> None:
    plans = plan_chain(RECIPE, RECIPE.stages, Options(max_steps=11, checkpoint_every=5))
    assert [made.last_checkpoint for made in plans] == [2, 2, 2]
    assert [made.start and made.start.number for made in plans] == [None, 2, 2]


def test_nothing_to_start_from() -> None:
    with pytest.raises(PlanError, match="nothing to start from") as caught:
        plan_chain(RECIPE, RECIPE.choose("2,3"), Options(max_steps=10))
    assert "--max-steps 2000 or more" in caught.value.remedy
    assert "--checkpoint-every 10 or less" in caught.value.remedy
    with pytest.raises(PlanError) as caught:
        make(3, checkpoint_every=40001)
    assert "--max-steps" not in caught.value.remedy
    assert "--checkpoint-every 40000 or less" in caught.value.remedy
    assert make(3, max_steps=10, pretrained=("/m/model", 1)).last_checkpoint == 0


def test_a_single_stage_may_save_nothing_and_says_so() -> None:
    made = make(2, max_steps=10)
    assert made.last_checkpoint == 0
    assert any("no checkpoint will be saved" in note for note in made.notes)


# -- scale --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "batch", "lr_steps", "steps", "start"),
    [
        (2, 256, "160000,240000", "80000", None),
        (3, 256, "160000,240000,280000,320000", "320000", 40),
        (3, 180, "227556,341333,398222,455111", "455111", 56),
        (4, 180, "56889,85333,113778", "142222", 227),
        (4, 1024, "10000,15000,20000", "25000", 40),
    ],
)
def test_scale_steps(stage: int, batch: int, lr_steps: str, steps: str, start: int | None) -> None:
    made = make(stage, batch_size=batch, scale_steps=True)
    assert value(made, "--lr-steps") == lr_steps
    assert value(made, "--max-steps") == steps
    assert (made.start and made.start.number) == start
    if start:
        assert value(made, "--pretrained").endswith(f",{start}")
    assert any(f"multiplied by 512/{batch}" in note for note in made.notes)
    assert f"512/{batch}" in made.added[0].reason


def test_without_scaling_a_note_says_what_steps_are_meant_for() -> None:
    made = make(3, batch_size=256)
    assert changes(made) == {"--per-batch-size": "256"}
    assert value(made, "--max-steps") == "160000"
    assert any("--scale-steps" in note for note in made.notes)
    assert not any("--scale-steps" in note for note in make(3).notes)
    assert make(3, scale_steps=True) == make(3)


# -- devices ------------------------------------------------------------------------------


def test_gpus_share_the_documented_batch() -> None:
    made = make(2, gpus="0,1")
    assert changes(made) == {"CUDA_VISIBLE_DEVICES": "0,1", "--per-batch-size": "256"}
    assert (made.devices, made.batch_size) == (2, 512)
    assert shell_line(made).startswith("CUDA_VISIBLE_DEVICES='0,1' python -u ")
    assert value(make(2, gpus="0,1,2", batch_size=510), "--per-batch-size") == "170"


def test_a_batch_that_cannot_be_split_names_the_nearest() -> None:
    with pytest.raises(PlanError) as caught:
        make(2, gpus="0,1,2")
    assert "--batch-size 510 or 513" in caught.value.remedy
    with pytest.raises(PlanError) as caught:
        make(2, gpus="0,1,2", batch_size=1)
    assert caught.value.remedy == "Give --batch-size 3."
    assert caught.value.exit_code is ExitCode.USAGE


def test_cpu() -> None:
    made = make(2, cpu=True)
    assert made.devices == 0
    assert changes(made) == {"CUDA_VISIBLE_DEVICES": ""}
    assert shell_line(made).startswith("CUDA_VISIBLE_DEVICES='' python")
    with pytest.raises(PlanError, match="exclusive"):
        make(2, cpu=True, gpus="0")


def test_environment_decides_unless_an_option_does() -> None:
    made = make(2, visible_devices="3")
    assert changes(made) == {"CUDA_VISIBLE_DEVICES": "3"}
    assert made.changed[0].reason == "set in your environment"
    assert make(2, visible_devices="0").changed == ()
    assert make(2, visible_devices="").devices == 0
    assert make(2, visible_devices="3", gpus="1").visible_devices == "1"
    assert make(2, visible_devices="3", cpu=True).visible_devices == ""
    with pytest.raises(PlanError) as caught:
        make(2, visible_devices="-1")
    assert "--cpu" in caught.value.remedy


@pytest.mark.parametrize("gpus", ["0", "0,1", "GPU-8932f937-d72c", "MIG-GPU-89/1/0,MIG-ab"])
def test_gpus_accepted(gpus: str) -> None:
    assert make(2, gpus=gpus).visible_devices == gpus


@pytest.mark.parametrize("gpus", ["", ",", "0,", "0,,1", "0, 1", "a", "-1", "0,0", "1,01", "0'"])
def test_gpus_refused(gpus: str) -> None:
    with pytest.raises(PlanError):
        make(2, gpus=gpus, batch_size=6)


# -- places -------------------------------------------------------------------------------


def test_folders() -> None:
    made = make(3, data_dir=Path("/d a/ta"), models_dir=Path("/mo"))
    assert changes(made) == {
        "--data-dir": "/d a/ta",
        "--prefix": "/mo/model-y1-arcface",
        "--pretrained": "/mo/model-y1-softmax,20",
    }
    assert [change.reason for change in made.changed] == [
        f"given as {option}" for option in ("--data-dir", "--models-dir", "--models-dir")
    ]
    assert len(made.documented) == len(made.stage.arguments)
    for options in ({"data_dir": Path("/a,b")}, {"models_dir": Path("/a,b")}):
        with pytest.raises(PlanError, match="comma"):
            make(3, **options)


def test_a_recipe_names_the_checkpoint_of_another_training() -> None:
    recipe = loading.load("finetune-own")
    made = plan(recipe, recipe.stage(1), Options(models_dir=Path("/models")))
    assert made.start == Start(f"{MODELS}/model-y1-arcface", 25, stage=None)
    assert "--pretrained" not in changes(made)
    made = plan(recipe, recipe.stage(1), Options(pretrained=("/m/model", 7)))
    assert made.start == Start("/m/model", 7, stage=None)
    assert changes(made) == {"--pretrained": "/m/model,7"}
    (change,) = made.changed
    assert "random" not in change.reason


def test_pretrained() -> None:
    made = make(3, pretrained=("/m/model", 7))
    assert changes(made) == {"--pretrained": "/m/model,7"}
    assert made.start == Start("/m/model", 7, None)
    made = make(2, pretrained=("/m/model", 7))
    assert made.added[0].tokens == ("--pretrained", "/m/model,7")
    plans = plan_chain(RECIPE, RECIPE.choose("3,4"), Options(pretrained=("/m/model", 7)))
    assert [made.start and made.start.number for made in plans] == [7, 80]


def test_parse_checkpoint() -> None:
    assert parse_checkpoint("m/model,0080", Path("/home/a")) == ("/home/a/m/model", 80)
    assert parse_checkpoint("../m/model,1", Path("/home/a")) == ("/home/m/model", 1)
    with pytest.raises(PlanError) as of_a_file:
        parse_checkpoint("my models/model-0080.params", Path("/"))
    assert of_a_file.value.remedy == "Pass --pretrained 'my models/model,80'."
    for text in ("model", "model,", ",1", "model,x", "model,-1"):
        with pytest.raises(PlanError) as caught:
            parse_checkpoint(text, Path("/"))
        assert caught.value.remedy


# -- the user's own arguments -------------------------------------------------------------


def test_script_arguments_come_last_as_they_are() -> None:
    made = make(2, checkpoint_every=1000, script_arguments=("--target", "", "--lr", "0.2"))
    assert made.arguments[-4:] == ("--target", "", "--lr", "0.2")
    assert made.added[-1].reason == "given after --"
    assert made.targets == ("",)
    assert make(2).targets is None
    assert make(2, script_arguments=("--target=lfw,agedb_30",)).targets == ("lfw", "agedb_30")


@pytest.mark.parametrize(
    "argument",
    ["--max-steps", "--max-steps=3", "--verbose", "--prefix", "--data-dir", "--pretrained",
     "--per-batch-size", "--max", "--dat=x", "--seed=3", "--resume",
     "--keep-always", "--precision"],
)  # fmt: skip
def test_script_arguments_that_the_tool_reckons_with_are_refused(argument: str) -> None:
    with pytest.raises(PlanError) as caught:
        make(2, script_arguments=(argument, "1"))
    assert "of mfn-patch train" in caught.value.remedy


# -- seed, resume, keep ---------------------------------------------------------------------


def test_a_seed() -> None:
    made = make(2, seed=5, script_arguments=("--target", "lfw"))
    assert [added.tokens for added in made.added[-2:]] == [("--seed", "5"), ("--target", "lfw")]
    assert made.seed == 5
    assert "--seed" not in make(2).arguments


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_is_added_and_takes_the_engine_that_has_it(precision: str) -> None:
    options = Options(precision=precision)
    made = plan(RECIPE, RECIPE.stage(2), options)
    added = [one.tokens for one in made.added]
    assert added == [("--max-steps", "40000"), ("--precision", precision)]
    assert made.precision == precision
    assert {options.choose_engine(wanted) for wanted in ("auto", "torch")} == {"torch"}
    with pytest.raises(PlanError, match=f"MXNet does not compute in precision {precision}"):
        options.choose_engine("mxnet")


def test_single_precision_adds_nothing_and_takes_any_engine() -> None:
    assert "--precision" not in make(2).arguments
    assert [Options().choose_engine(wanted) for wanted in ("auto", "mxnet")] == ["auto", "mxnet"]


def test_tf32_is_refused_on_the_cpu() -> None:
    assert make(2, cpu=True, precision="bf16").precision == "bf16"
    with pytest.raises(PlanError, match="tf32 requires a GPU"):
        make(2, cpu=True, precision="tf32")


def test_resuming() -> None:
    made = make(3, seed=0, checkpoint_every=1000).resume(Resumption("a-run", 12))
    assert made.arguments[-2:] == ("--resume", "12")
    assert (
        "resumes at step 12000, from the last complete checkpoint of run a-run"
        in made.added[-1].reason
    )
    assert made.resumed_from == 12
    anew = make(3, seed=0).resume(Resumption("a-run", None))
    assert anew.arguments == make(3, seed=0).arguments
    assert anew.resumption
    assert anew.resumed_from is None


@pytest.mark.parametrize(
    ("stage", "options", "needed"),
    [
        (2, {}, "20"),
        (3, {}, "80"),
        (3, {"until_stopped": True}, "80"),
        (2, {"max_steps": 50, "checkpoint_every": 10}, "5"),
        (3, {"batch_size": 256, "scale_steps": True}, "160"),
    ],
)
def test_what_the_next_stage_starts_from_is_kept(
    stage: int, options: dict[str, Any], needed: str
) -> None:
    made = make(stage, keep=3, **options)
    assert made.added[-1].tokens == ("--keep", "3", "--keep-always", needed)
    assert made.keep == 3


def test_the_last_stage_feeds_none() -> None:
    assert make(4, keep=1).added[-1].tokens == ("--keep", "1")
    assert "--keep" not in make(4).arguments


def test_ckpt_of_the_users_leaves_checkpoints_unknown() -> None:
    assert make(2, script_arguments=("--ckpt", "1")).last_checkpoint is None


# -- text ---------------------------------------------------------------------------------


def test_a_shell_takes_hostile_paths_as_they_are(tmp_path: Path) -> None:
    path = "/a b/$(touch hit)/it's\n数据;`id`"
    made = make(3, data_dir=Path(path), script_arguments=("--target", "$HOME"))
    text = explain(made, Path(path), "/py thon", "PyTorch\n$(touch hit)").replace(
        " python -u ", " printf '%s\\0' "
    )
    ran = subprocess.run(["/bin/sh", "-c", text], cwd=tmp_path, capture_output=True, check=True)
    assert ran.stdout.decode().split("\0")[:-1] == [made.script, *made.arguments]
    assert list(tmp_path.iterdir()) == []


def test_plans_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(2).steps = 1  # type: ignore[misc]
