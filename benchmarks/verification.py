"""How much faster verification is by the patch: the ten folds, and loading a set.

    python benchmarks/verification.py [ADDRESS]

The yardstick is upstream's verification as it is without the patch of stack `speed`. Both take
turns, and their figures and pixels are asked to be equal. The interpreter needs MXNet.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from turns import TOOL, milliseconds, print_table, run, seconds, take_turns

from mfn_patcher.data.synth import synthesise
from mfn_patcher.data.verification_set import write_verification_set
from mfn_patcher.patching.project import project_root, read_upstream

PAIRS, SIZE, ROUNDS = 6000, 128, 5


def load(name: str, path: Path) -> ModuleType:
    """Return a module that stands anywhere."""
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def versions(workspace: Path) -> list[ModuleType]:
    """Return verification without and with the patch."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(workspace), *arguments], stdout=subprocess.PIPE, check=True
        ).stdout

    commit = git("log", "--format=%H", "--grep=^Mfn-Patch: speed/0001").decode().strip()
    folder = workspace / "src" / "eval"
    sys.path[:0] = [str(folder), str(folder.parent / "common")]
    with tempfile.TemporaryDirectory() as place:
        before = Path(place) / "before.py"
        before.write_bytes(git("show", f"{commit}^:src/eval/verification.py"))
        return [load("before", before), load("after", folder / "verification.py")]


def compare(title: str, before: Callable[[], Any], after: Callable[[], Any]) -> list[Any]:
    """Print how long both take; return what they returned."""
    returned: dict[str, Any] = {}

    def contender(name: str, call: Callable[[], Any]) -> Callable[[], float]:
        def go() -> float:
            returned.pop(name, None)
            with contextlib.redirect_stdout(io.StringIO()):
                return seconds(lambda: returned.update({name: call()}))

        return go

    calls = {"patched": after, "before": before}
    took = take_turns({name: contender(name, call) for name, call in calls.items()}, ROUNDS)
    print_table(
        f"{title}, median of {ROUNDS}",
        ("verification", "time", "ratio"),
        [
            (name, milliseconds(value), f"{value / took['patched']:.1f}")
            for name, value in took.items()
        ],
    )
    return [returned["before"], returned["patched"]]


def main() -> None:
    """Patch a workspace, measure both, and print the figures."""
    address = sys.argv[1] if len(sys.argv) > 1 else read_upstream(project_root()).address
    drawn = np.random.RandomState(0)
    embeddings = drawn.randn(2 * PAIRS, SIZE)
    embeddings[1::2] += embeddings[::2] * (np.arange(PAIRS) % 2)[:, None]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    same = (np.arange(PAIRS) % 2 == 1).tolist()
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place, "insightface")
        run(TOOL, "apply", "--workspace", str(workspace), "--upstream", address)
        before, after = versions(workspace)
        figures = compare(
            f"Ten folds of {PAIRS:,} pairs",
            lambda: before.evaluate(embeddings, same),
            lambda: after.evaluate(embeddings, same),
        )
        assert all(np.array_equal(a, b) for a, b in zip(*figures))

        data = Path(place, "data")
        synthesise(data, identities=1, images_per_identity=1, pairs=500)
        path = data / "lfw.bin"
        images, _ = after.verification_set.read(str(path))
        write_verification_set(path, images * 2, [True] * len(images))
        kilobytes = path.stat().st_size / len(images) / 2000
        loaded = compare(
            f"Loading {len(images):,} pairs of images of {kilobytes:.0f} KB",
            lambda: before.load_bin(str(path), [112, 112]),
            lambda: after.load_bin(str(path), [112, 112]),
        )
        for one, other in zip(loaded[0][0], loaded[1][0]):
            assert (one == other).asnumpy().all()


if __name__ == "__main__":
    main()
