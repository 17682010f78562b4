from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from mfn_patcher.cli.data import data
from mfn_patcher.data.synth import SynthesisError

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs/schema/data-check.json").read_text(encoding="utf-8")
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


def test_synth(tmp_path: Path) -> None:
    result = run(
        "synth", tmp_path / "new", "--identities", 2, "--images-per-identity", 3, "--seed", 5
    )
    assert result.exit_code == 0, result.output
    # Output of both streams: no progress bar where there is no terminal.
    drawing, wrote, *_ = result.output.splitlines()
    assert drawing.startswith("mfn-patch: drawing 126 images, about ")
    assert wrote.startswith("Wrote 6 images of 2 identities, and 20 pairs in each")
    assert str(tmp_path / "new") in result.output
    for name in ("train.rec", "train.idx", "property", "lfw.bin", "cfp_fp.bin", "agedb_30.bin"):
        assert f"  {name} " in result.stdout
    assert run("check", tmp_path / "new").exit_code == 0


def test_synth_refuses(tmp_path: Path) -> None:
    assert isinstance(run("synth", tmp_path, "--pairs", 3).exception, SynthesisError)


def test_check(faces: Path) -> None:
    result = run("check", faces)
    assert result.exit_code == 0
    assert all(line.startswith("ok      ") for line in result.stdout.splitlines())

    (faces / "lfw.bin").unlink()
    result = run("check", faces)
    assert result.exit_code == 0
    assert "warning lfw.bin: is missing" in result.stdout

    (faces / "property").write_text("3,112,112\n")
    result = run("check", faces)
    assert result.exit_code == 4
    assert (
        "failed  images: 5 of 20 sampled images have a label that is no class (0 to 2); "
        "image 16 has 3\n"
        "        If the labels are right, write 4 for the number of classes in property.\n"
    ) in result.stdout


@pytest.mark.parametrize("damage", ["none", "property", "train.rec", "lfw.bin", "all"])
def test_check_json(faces: Path, damage: str) -> None:
    for path in faces.iterdir():
        if damage in (path.name, "all"):
            path.write_bytes(b"")
    result = run("check", faces, "--json")
    report = json.loads(result.stdout)
    jsonschema.validate(report, SCHEMA)
    assert report["directory"] == str(faces)
    assert report["ok"] == (damage == "none")
    assert result.exit_code == (0 if damage == "none" else 4)
    if damage == "none":
        assert (report["identities"], report["images"]) == (4, 20)
        assert report["verification_sets"]["lfw"] == {"images": 40, "pairs": 20}


def test_check_json_of_nothing(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none", "--json")
    jsonschema.validate(json.loads(result.stdout), SCHEMA)
    assert result.exit_code == 4


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("command", ["synth", "check"])
def test_help_ends_with_an_example(command: str) -> None:
    last = run(command, "--help").stdout.rstrip().splitlines()[-1]
    assert last.strip().startswith(f"mfn-patch data {command} ")


def test_import_is_light() -> None:
    program = (
        "import sys, mfn_patcher.cli.data\n"
        "print(sorted({'numpy', 'PIL', 'rich', 'mxnet'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert child.stdout.strip() == b"[]"
