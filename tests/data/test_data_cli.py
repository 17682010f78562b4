from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support.tool import Tool, run_restricted, validated


def test_synth(tmp_path: Path, tool: Tool) -> None:
    new = tmp_path / "new"
    ran = tool(
        "data", "synth", new, "--identities", "2", "--images-per-identity", "3", "--seed", "5"
    )
    assert ran.code == 0, ran.err
    # There is no progress bar where there is no terminal.
    assert ran.err.startswith("mfn-patch: drawing 126 images, about ")
    assert len(ran.err.splitlines()) == 1
    wrote, *_ = ran.out.splitlines()
    assert wrote == f"Wrote 6 images of 2 identities, and 20 pairs per verification set, to {new}:"
    for name in ("train.rec", "train.idx", "property", "lfw.bin", "cfp_fp.bin", "agedb_30.bin"):
        assert f"  {name} " in ran.out
    assert tool("data", "check", new).code == 0


def test_synth_refuses(tmp_path: Path, tool: Tool) -> None:
    ran = tool("data", "synth", tmp_path, "--pairs", "3")
    assert ran.code == 1
    assert ran.err.endswith("mfn-patch: pairs: 3 is too small\nGive 20 or more.\n")


def test_check(faces: Path, tool: Tool) -> None:
    ran = tool("data", "check", faces)
    assert ran.code == 0
    assert all(line.startswith("ok      ") for line in ran.out.splitlines())

    (faces / "lfw.bin").unlink()
    ran = tool("data", "check", faces)
    assert ran.code == 0
    assert "warning lfw.bin: is missing" in ran.out

    (faces / "property").write_text("3,112,112\n")
    ran = tool("data", "check", faces)
    assert ran.code == 4
    assert (
        "failed  images: 5 of 20 sampled images have a label that is not a class (0 to 2); "
        "image 16 has 3\n"
        "        If the labels are right, write 4 as the number of classes in property.\n"
    ) in ran.out


@pytest.mark.parametrize("damage", ["none", "property", "train.rec", "lfw.bin", "all"])
def test_check_json(faces: Path, tool: Tool, damage: str) -> None:
    for path in faces.iterdir():
        if damage in (path.name, "all"):
            path.write_bytes(b"")
    ran = tool("data", "check", faces, "--json")
    result = validated("data-check", ran.out)
    assert result["directory"] == str(faces)
    assert result["ok"] == (damage == "none")
    assert ran.code == (0 if damage == "none" else 4)
    if damage == "none":
        assert (result["identities"], result["images"]) == (4, 20)
        assert result["verification_sets"]["lfw"] == {"images": 40, "pairs": 20}


def test_check_json_of_nothing(tmp_path: Path, tool: Tool) -> None:
    ran = tool("data", "check", tmp_path / "none", "--json")
    assert not validated("data-check", ran.out)["ok"]
    assert ran.code == 4


def test_schema_is_one() -> None:
    schema = Path(__file__).parents[2] / "docs/schema/data-check.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.read_text(encoding="utf-8")))


def test_a_remedy_is_said_once(faces: Path, tool: Tool) -> None:
    for name in ("train.rec", "train.idx", "cfp_fp.bin", "agedb_30.bin"):
        (faces / name).unlink()
    missing = "is missing: the script skips it, so its accuracy is not measured"
    assert tool("data", "check", faces).out.splitlines() == [
        "failed  train.rec: is missing",
        "failed  train.idx: is missing",
        "        Copy what is missing here; training requires it.",
        "ok      property: 4 classes, 112x112 images",
        "ok      lfw.bin: 40 images, 20 pairs",
        f"warning cfp_fp.bin: {missing}",
        f"warning agedb_30.bin: {missing}",
        "        Put what is missing beside train.rec to have it measured.",
    ]


@pytest.mark.parametrize("command", ["synth", "make", "check", "show"])
def test_help_ends_with_an_example(tool: Tool, command: str) -> None:
    last = tool("data", command, "--help").out.rstrip().splitlines()[-1]
    assert last.strip().startswith(f"mfn-patch data {command} ")


def test_import_is_light() -> None:
    program = (
        "import sys, mfn_patcher.cli.data\n"
        "print(sorted({'numpy', 'PIL', 'rich', 'mxnet'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert child.stdout.strip() == b"[]"


@pytest.mark.parametrize("name", ["train.rec", "train.idx", "lfw.bin"])
def test_a_file_that_cannot_be_read(faces: Path, name: str) -> None:
    (faces / name).chmod(0)
    ran = run_restricted("data", "check", str(faces), folder=faces)
    (faces / name).chmod(0o644)
    found = [line for line in ran.stdout.splitlines() if line.startswith("failed")]
    assert len(found) == 1, ran.stdout
    assert found[0].startswith(f"failed  {name}: ")
    assert "Copy or download" not in ran.stdout
    assert "Check its owner and permissions." in ran.stdout
