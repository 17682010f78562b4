from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.recipes import model as recipe
from mfn_patcher.recipes.model import Expectations, Feed, Recipe, RecipeError, Stage
from tests.support.preimages import ROOT
from tests.support.tool import Tool, validated

TEXT = (Path(recipe.__file__).parent / "builtin" / "mobilefacenet.toml").read_text()


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
    assert recipe.load().expect == Expectations(
        ("fc1_weight", "fc7_weight"), ("fc7_bias",), {"y1": "uniform", "r50": "gaussian"}
    )


def test_issue_214() -> None:
    """The facts of upstream's issue 214, each of which a command or a sentence there gives."""
    found = recipe.load("issue-214")
    assert found.source == "https://github.com/deepinsight/insightface/issues/214"
    assert (found.cuda_visible_devices, found.batch_size, found.verbose) == ("0,1,2,3", 512, 2000)
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
        pairs = dict(zip(stage.arguments[::2], stage.arguments[1::2]))
        assert {**pairs, **shared, **own, **margins} == pairs
    assert (softmax.steps, softmax.value("--max-steps")) == (140002, "140002")
    assert arcface.starts_from == Feed(1, 140000)
    assert str(arcface.value("--pretrained")).endswith(",70")


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
        ("verbose = 2000", "verbose = '2000'", "'verbose' is no whole number: '2000'"),
        ("verbose = 2000", "verbose = true", "'verbose' is no whole number"),
        ('source = "https', 'source = []  # "https', "'source' is no string"),
        ("verbose = 2000", "verbose = 0", "'verbose' is less than 1"),
        ("verbose = 2000", "verbose = ", "not TOML: Invalid value (at line 9, "),
        ("verbose = 2000", "verbose = 2000\nverbose = 1", "not TOML: Cannot overwrite a value"),
        ("stage = 2, step", "stage = 1, step", "stage 1, which no earlier stage is"),
        ("stage = 3, step", "stage = 4, step", "stage 4, which no earlier stage is"),
        ("stage = 2, step = 40000", "stage = 2, step = 42000", "ends at 40000"),
        ("stage = 2, step = 40000", "stage = 2, step = 39999", "which saves every 2000"),
        ("starts_from = { stage = 2, step = 40000 }", "starts_from = 2", "is no table: 2"),
        ('"--ckpt", "2"', '"--ckpt", "1"', "softmax), which does not save all of its checkpoints"),
        ('"--ckpt", "2"', '"--ckpt", "x"', "--ckpt is no whole number: x"),
        ('late_lr_steps = "', '# "', "ends after 40000 steps, before its lr step 80000"),
        ("steps = 160000", "steps = 140000", "ends after 140000 steps, before its lr step 160000"),
        ("softmax,20", "softmax,19", "--pretrained is ../models"),
        ("starts_from = { stage = 2, step = 40000 }", "", "no starts_from"),
        ("number = 3", "number = 2", "comes after stage 2"),
        (
            'name = "arcface"',
            'name = "softmax"',
            "stage 3 (softmax): comes after stage 2 (softmax)",
        ),
        ('name = "softmax"', 'name = "all"', "by which --stage means others"),
        ('name = "softmax"', 'name = "7"', "by which --stage means others"),
        ('name = "softmax"', 'name = "../softmax"', "'name' is '../softmax'"),
        ('name = "mobilefacenet"', 'name = ""', "'name' is ''"),
        ('script = "train_', 'script = "../train_', "not the name of a file in src"),
        ('script = "train_', 'script = "-cimport os #', "not the name of a file in src"),
        (
            '"--network", "y1"',
            '"--network", "--prefix=/"',
            "would take '--prefix=/', for --network,",
        ),
        ('"--lr-steps", "80000,120000",', "", "lack --lr-steps"),
        ('"80000,120000"', '"80000,x"', "not whole numbers"),
        ('"80000,120000"', '"120000,80000"', "do not rise"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--odd"', "not pairs"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--ckpt", "1"', "have --ckpt twice"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--max-steps", "5"', "by steps it is 40000"),
        ('"--ckpt", "2"', '"--ckpt", "2", "--verbose", "5"', "by verbose it is 2000"),
        ('cuda_visible_devices = "0"', 'cuda_visible_devices = "0,1"', "it is 256"),
        ('cuda_visible_devices = "0"', 'cuda_visible_devices = "0,1,2"', "split evenly over 3"),
        ("faces_ms1m_112x112", "faces,ms1m", "--data-dir has a comma"),
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


def test_a_recipe_without_stages() -> None:
    head = TEXT.partition("[expect]")[0]
    with pytest.raises(RecipeError, match="'stages' is missing"):
        recipe.parse(head, "some.toml")
    for stages, message in (("[]", "there are no stages"), ("[1]", "is no table: 1")):
        with pytest.raises(RecipeError, match=message):
            recipe.parse(f"{head}\nstages = {stages}", "some.toml")


# -- files and commands -------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A recipe of one's own, without any of the keys that can be left out."""
    path = tmp_path / "mine.toml"
    path.write_text("""
name = "mine"
summary = "one stage"
script = "train_softmax.py"
batch_size = 64
verbose = 100
cuda_visible_devices = "0"

[[stages]]
number = 7
name = "quick-softmax"
steps = 500
arguments = ["--network", "y1", "--loss-type", "0", "--lr-steps", "400",
  "--per-batch-size", "64", "--data-dir", "/d", "--prefix", "/m/model"]
""")
    return path


def test_a_file_of_ones_own(mine: Path, tool: Tool) -> None:
    found = recipe.load(str(mine))
    assert (found.name, found.source, found.expect) == ("mine", None, None)
    assert [stage.title for stage in found.choose("quick-softmax")] == ["stage 7 (quick-softmax)"]
    for stage in ("7", "quick-softmax", "all"):
        ran = tool("train", "--recipe", mine, "--stage", stage, "--dry-run")
        assert " --max-steps 500\n" in ran.out
        assert "\n# added: --max-steps 500 — the recipe's number" in ran.out
    ran = tool("train", "--recipe", mine, "--stage", "2", "--dry-run")
    assert ran.code == ExitCode.ERROR
    assert ran.err.endswith("Its stages are 7 (quick-softmax).\n")
    ran = tool("verify", "--recipe", mine)
    assert ran.code == ExitCode.ERROR
    assert "[expect]" in ran.err


def test_a_file_that_is_none(mine: Path, tool: Tool, tmp_path: Path) -> None:
    mine.write_text(mine.read_text().replace("verbose", "verbos"))
    ran = tool("recipes", "show", mine)
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert ran.err.startswith(f"mfn-patch: {mine}: unknown key 'verbos'\nKnown: name, summary,")
    mine.write_bytes(b"name = '\xff'")
    for which, reason in (
        (mine, "is not UTF-8 text, from byte 8 on"),
        (tmp_path, "that is a directory"),
        ("mobilefacenet.toml", "there is no such file"),
        ("", "that is a directory"),
    ):
        ran = tool("train", "--recipe", which, "--stage", "2", "--dry-run")
        assert ran.code == ExitCode.ERROR
        assert reason in ran.err
        assert "The tool's own are mobilefacenet, issue-214;" in ran.err


def test_a_copy_needs_another_name(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(TEXT)
    with pytest.raises(RecipeError, match="name of a recipe that comes with the tool") as caught:
        recipe.load(str(path))
    assert "another `name`" in caught.value.remedy


@pytest.mark.parametrize("name", recipe.names())
def test_show(tool: Tool, tmp_path: Path, name: str) -> None:
    shown = validated("recipe", tool("recipes", "show", name, "--json").out)
    assert shown["name"] == name
    text = tool("recipes", "show", name).out
    path = tmp_path / "own.toml"
    path.write_text(text.replace(f'name = "{name}"', 'name = "own"', 1))
    own = validated("recipe", tool("recipes", "show", path, "--json").out)
    assert own == {**shown, "name": "own"}


def test_list(tool: Tool) -> None:
    listed = validated("recipes", tool("recipes", "list", "--json").out)
    assert [entry["name"] for entry in listed["recipes"]] == recipe.names()
    assert listed["default"] == recipe.names()[0] == "mobilefacenet"
    text = tool("recipes", "list").out
    assert "issue-214: two stages" in text
    assert "  stage 1 (softmax): 140,002 steps of 512 images\n" in text
    figures = {"lfw": 99.50, "cfp_fp": 88.94, "agedb_30": 95.91}
    (published,) = listed["recipes"][1]["published"]
    assert published == {
        "source": "upstream issue 214, two stages",
        "accuracies": figures,
        "at_least": [],
    }
    assert "published: lfw 99.50 %, cfp_fp 88.94 %, agedb_30 95.91 % (upstream issue 214" in text
    assert "published: lfw 99.55 %, agedb_30 at least 95.90 % (the recipe's target" in text


def test_the_document_describes_every_key_and_its_example_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text()
    keys = {field.name for kind in (Recipe, Stage, Expectations) for field in fields(kind)}
    described = set(re.findall(r"^\| `\[*(\w+)\]*` \|", text, re.MULTILINE))
    assert keys <= described
    example = re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert example
    assert recipe.parse(example[1], "the example").name == "short"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_files_that_other_systems_have_written(tool: Tool, tmp_path: Path, encoding: str) -> None:
    """As ``recipes show mobilefacenet > mine.toml`` makes them in PowerShell."""
    mine = tmp_path / "mine.toml"
    text = TEXT.replace('name = "mobilefacenet"', 'name = "mine"', 1).replace("\n", "\r\n")
    mine.write_bytes(text.encode(encoding))
    assert recipe.load(str(mine)).stages == recipe.load().stages
    assert tool("recipes", "show", mine).code == 0
