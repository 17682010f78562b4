"""The script reads verification sets without running what they name."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.synth import synthesise
from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from tests.support.odd_images import encode, face, undecodable_images
from tests.support.tool import Tool


class Hostile:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def failing(data: Path, patched: Path, environment: dict[str, str]) -> str:
    """Return the sentence that the script ends with."""
    arguments = ["--network", "y1", "--data-dir", str(data), "--prefix", str(data / "m" / "m")]
    ran = subprocess.run(
        [sys.executable, "train_softmax.py", *arguments, "--per-batch-size", "2"],
        cwd=patched / "src",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    return ran.stderr.splitlines()[-1]


@pytest.mark.mxnet
def test_sets_that_the_script_cannot_use(
    patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    data = tmp_path / "data"
    synthesise(data, identities=2, images_per_identity=2, sets=["lfw", "cfp_fp"])
    path = data / "lfw.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "lfw.bin cannot be read as a verification set" in failing(
        data, patched, training_environment
    )
    pairs = read_verification_set(path.with_name("cfp_fp.bin"))
    gif = undecodable_images()["gif"]
    write_verification_set(path, [gif, *pairs.images[1:]], pairs.same)
    assert "lfw.bin cannot be used: it cannot be decoded; replace it" in failing(
        data, patched, training_environment
    )
    small = encode(face(size=(96, 112)), "PNG")
    write_verification_set(path, [small, *pairs.images[1:]], pairs.same)
    assert "lfw.bin cannot be used: the image is 96x112 pixels, not 112x112" in failing(
        data, patched, training_environment
    )


@pytest.mark.mxnet
def test_a_data_set_that_carries_code_is_refused(
    tool: Tool, patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    """By `data check`, and by the script itself where nobody asked that."""
    data, trap = tmp_path / "data", tmp_path / "trap"
    synthesise(data, identities=2, images_per_identity=2, sets=["lfw"])
    hostile = Hostile(os.system, f"touch '{trap}'")
    (data / "agedb_30.bin").write_bytes(pickle.dumps(([hostile], [True]), protocol=2))

    checked = tool("data", "check", data)
    assert checked.code == 4
    assert "names posix.system, which no verification set needs" in checked.out + checked.err

    said = failing(data, patched, training_environment)
    assert "agedb_30.bin names posix.system, which no verification set needs" in said
    assert not trap.exists()
    pickle.loads((data / "agedb_30.bin").read_bytes())
    assert trap.exists(), "it would have run"
