"""How much faster verification is by the patch: the ten folds, and loading a set.

    python benchmarks/verification.py [WORKSPACE]

WORKSPACE is a patched one. The yardstick is the file that it verifies with, as it is without the
patch. Both take turns, and medians are compared. The figures are also asked to be equal.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import numpy as np

from mfn_patcher.dataset.synth import synthesise
from mfn_patcher.dataset.verification_set import write_verification_set

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


def compare(what: str, calls: list[Callable[[], Any]]) -> list[Any]:
    """Print the medians of both, and their ratio; return what they returned."""
    took: list[list[float]] = [[], []]
    returned: list[Any] = [None, None]
    for turn in range(ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            returned[which] = None
            began = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                returned[which] = calls[which]()
            took[which].append(time.perf_counter() - began)
    slow, fast = (statistics.median(each) for each in took)
    print(f"{what:<36} {slow * 1e3:>9,.1f} ms {fast * 1e3:>9,.1f} ms   {slow / fast:>5.1f} times")
    return returned


def main(workspace: Path) -> None:
    """Measure both, and print the figures."""
    modules = versions(workspace)
    drawn = np.random.RandomState(0)
    embeddings = drawn.randn(2 * PAIRS, SIZE)
    embeddings[1::2] += embeddings[::2] * (np.arange(PAIRS) % 2)[:, None]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    same = (np.arange(PAIRS) % 2 == 1).tolist()
    print(f"{platform.machine()}, Python {platform.python_version()}, medians of {ROUNDS}")
    print(f"{'':<36} {'before':>12} {'patched':>12}")
    before, after = compare(
        f"ten folds of {PAIRS:,} pairs",
        [lambda module=module: module.evaluate(embeddings, same) for module in modules],
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, after))

    with tempfile.TemporaryDirectory() as place:
        synthesise(Path(place), identities=1, images_per_identity=1, pairs=500)
        path = Path(place) / "lfw.bin"
        images, _ = modules[1].verification_set.read(str(path))
        write_verification_set(path, images * 2, [True] * len(images))
        kilobytes = path.stat().st_size / len(images) / 2000
        before, after = compare(
            f"loading {len(images):,} pairs of {kilobytes:.1f} KB",
            [lambda module=module: module.load_bin(str(path), [112, 112]) for module in modules],
        )
    for one, other in zip(before[0], after[0]):
        assert (one == other).asnumpy().all()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "insightface").resolve())
