"""The patched script with and without the package that its seams call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.data.synth import synthesise
from tests.support.array_files import difference

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 12 images, without verification sets."""
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=3, images_per_identity=4, sets=())
    return folder


def run(
    source: Path, data: Path, prefix: Path, environment: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    """Run two steps of the script, which draws the same with and without the package."""
    seeded = "import random, mxnet, train_softmax as script; random.seed(1); mxnet.random.seed(1)"
    arguments = ["--network", "y1", "--emb-size", "128", "--ckpt", "2", "--loss-type", "4"]
    arguments += ["--verbose", "2", "--max-steps", "1", "--per-batch-size", "4", "--target", ""]
    arguments += ["--data-dir", str(data), "--prefix", str(prefix), *options]
    return subprocess.run(
        [sys.executable, "-c", f"{seeded}; script.main()", *arguments],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def without_package() -> dict[str, str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    return environment


def test_without_the_package_the_script_trains_as_with_it(
    patched: Path,
    data: Path,
    tmp_path: Path,
    training_environment: dict[str, str],
    without_package: dict[str, str],
) -> None:
    """But saves as upstream's does: without a manifest, and without the loss in its output."""
    prefixes = [tmp_path / name / "model" for name in ("with", "without")]
    for prefix, environment in zip(prefixes, (training_environment, without_package)):
        ran = run(patched / "src", data, prefix, environment)
        assert ran.returncode == 0, ran.stderr
    names = ["model-0001.params", "model-symbol.json"]
    assert sorted(path.name for path in prefixes[1].parent.iterdir()) == names
    assert sorted(path.name for path in prefixes[0].parent.iterdir()) == ["model-0001.json", *names]
    now, then = (Path(f"{prefix}-0001.params") for prefix in prefixes)
    assert difference(now, then, "arg:") == 0


def test_without_the_package_its_arguments_are_a_usage_error(
    patched: Path, data: Path, tmp_path: Path, without_package: dict[str, str]
) -> None:
    ran = run(patched / "src", data, tmp_path / "m" / "m", without_package, "--seed", "7")
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].endswith(
        "error: unrecognized arguments: --seed 7; arguments of mfn-patch require its package: "
        'eval "$(mfn-patch env)"'
    )
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("seam", ["feed", "Module", "SGD"])
def test_a_seam_that_is_not_called_fails_loudly(
    workspace: Path, data: Path, tmp_path: Path, training_environment: dict[str, str], seam: str
) -> None:
    calls = {
        "feed": ("train_dataiter = hooks.feed(train_dataiter)", "pass"),
        "Module": ("(hooks or mx.mod).Module(", "mx.mod.Module("),
        "SGD": ("(hooks or optimizer).SGD(", "optimizer.SGD("),
    }
    script = workspace / "src" / "train_softmax.py"
    before = script.read_text()
    script.write_text(before.replace(*calls[seam]))
    assert script.read_text() != before
    ran = run(workspace / "src", data, tmp_path / "m" / "m", training_environment)
    assert ran.returncode == 1
    assert f"the script did not call hooks.{seam} before hooks.start" in ran.stderr
