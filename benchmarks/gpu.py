"""The engine's training step against that of insightface's `arcface_torch`; under five minutes.

    python benchmarks/gpu.py [CHECKOUT] [--device cpu|cuda] [--batch N...] [--workspace DIR]

Ours is the patched upstream's own `train_softmax.py`, with the arguments of stage 3, through the
engine on PyTorch: on a GPU in each precision, and not compiled; on the CPU against an earlier
version of the engine, from this repository's history. The other is the PyTorch implementation in a
newer insightface, on the same images: as published, with its own width and precision, and with the
width of y1. `peer.py` describes its variants. Each measurement runs in its own process, and
the contenders are timed in turn.

CHECKOUT is a checkout of insightface that has recognition/arcface_torch, and WORKSPACE a patched
workspace; whatever is missing is fetched from upstream. A GPU gets batches of 512 and the 85,164
identities of the recipe; the CPU, where this is only a rehearsal, less of both.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from turns import make_workspace, print_table, take_turns

from mfn_patcher.children import dry_run
from mfn_patcher.children.environment import child_environment
from mfn_patcher.engine import TORCH
from mfn_patcher.engine.environment import packages
from mfn_patcher.patching.project import project_root, read_upstream
from mfn_patcher.recipes import loading
from mfn_patcher.recipes.published import IDENTITIES
from mfn_patcher.training.step_speed import Workload

ROOT = Path(__file__).parents[1]
ROUNDS = 3
COMMIT = "7fadd420c2351d0ffa8cac403421c1a3ed733365"
FOLDER = "recognition/arcface_torch"
# The last version that neither compiled steps nor trained on a GPU.
EARLIER = "fde747e"
OURS = "this engine, fp32"
# What our script is given, by device and title.
SETTINGS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "cpu": {OURS: ()},
    "cuda": {
        OURS: (),
        "this engine, tf32": ("--precision", "tf32"),
        "this engine, bf16": ("--precision", "bf16"),
        "this engine, fp32, not compiled": ("--compile", "off"),
    },
}
OURS_EARLIER = "this engine, earlier version"
VARIANTS = {
    "y1-fp32": "arcface_torch, width of y1, fp32",
    "y1": "arcface_torch, width of y1, its precision",
    "published": "arcface_torch, as published",
}

Reading = Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """What the contenders compute.

    Attributes:
        device: cpu or cuda.
        batch: images per step.
        classes: number of identities.
        seconds: how long a reading times steps.
    """

    device: str
    batch: int
    classes: int
    seconds: float

    @classmethod
    def on(cls, device: str, batch: int) -> Setup:
        """Return the setup for a device."""
        if device == "cuda":
            return cls(device, batch, IDENTITIES, 4)
        return cls(device, batch, 1000, 3)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a contender."""
        return child_environment(os.environ, "0" if self.device == "cuda" else "", ())


def read_ours(
    source: Path, setup: Setup, settings: Sequence[str], folders: Sequence[Path]
) -> Reading:
    """Let the patched script train on the engine, and return its rates.

    Args:
        source: folder of the script.
        setup: what to compute.
        settings: arguments of the script, after those of the stage.
        folders: folders of the engine and the package that the script calls.
    """
    stage = loading.load().stage("arcface")
    report = dry_run.ask(
        source,
        sys.executable,
        {**setup.environment, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        [[*stage.arguments, "--per-batch-size", str(setup.batch), *settings]],
        classes=setup.classes,
        program="step",
        options=[str(setup.seconds), str(setup.classes)],
    )
    if "error" in report:
        raise SystemExit(f"gpu: {report['error']}")
    (found,) = report["cases"]
    return {"rate": found["compute"], "peak": found["peak_bytes"], "forward": found["forward"]}


def read_peer(folder: Path, variant: str, setup: Setup) -> Reading:
    """Train with a variant of `arcface_torch`, and return its rate."""
    program = str(Path(__file__).with_name("peer.py"))
    numbers = [str(number) for number in (setup.batch, setup.classes, setup.seconds)]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", program, str(folder), variant, setup.device, *numbers],
        env=setup.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: Reading = json.loads(ran.stdout.splitlines()[-1])
    return found


def extract_earlier(folder: Path) -> list[Path]:
    """Extract the packages of the earlier version; return their folders, none if git has none."""
    names = ["mfn_patcher/engine/pytorch", "mfn_patcher/trainer"]
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", EARLIER, *names]
    archived = subprocess.run(command, check=False, capture_output=True)
    if archived.returncode:
        return []
    subprocess.run(["tar", "-xC", str(folder)], input=archived.stdout, check=True)
    return [folder / name for name in names]


def compare(source: Path, peer: Path, earlier: Sequence[Path], setup: Setup) -> None:
    """Time all contenders in turn, and print a table."""
    # Mixed precision is for CUDA: on the CPU these two are the same.
    variants = [name for name in VARIANTS if name != "y1" or setup.device == "cuda"]
    readers: dict[str, Callable[[], Reading]] = {
        title: functools.partial(read_ours, source, setup, settings, packages(TORCH))
        for title, settings in SETTINGS[setup.device].items()
    }
    if earlier and setup.device == "cpu":
        readers[OURS_EARLIER] = functools.partial(read_ours, source, setup, (), earlier)
    for name in variants:
        readers[VARIANTS[name]] = functools.partial(read_peer, peer, name, setup)
    found: dict[str, list[Reading]] = {title: [] for title in readers}

    def contender(title: str) -> Callable[[], float]:
        def go() -> float:
            began = time.monotonic()
            found[title].append(readers[title]())
            rate: float = found[title][-1]["rate"]
            took = time.monotonic() - began
            print(f"{title}: {rate:,.1f} images/s, read in {took:.0f} s", file=sys.stderr)
            return rate

        return go

    # Compiling takes most of the time of a process on a GPU, on which readings vary little.
    rounds = 1 if setup.device == "cuda" else ROUNDS
    rates = take_turns({title: contender(title) for title in readers}, rounds)
    work = Workload.of(loading.load())
    print_table(
        f"Training steps of {setup.batch} images, {setup.classes:,} identities, "
        f"{describe(setup.device)}, median of {rounds} processes",
        ("", "images/s", "this engine / it", "peak memory", "hours for the recipe, estimated"),
        [
            (
                title,
                f"{rate:,.1f}",
                f"{rates[OURS] / rate:.2f}",
                f"{min(one['peak'] for one in found[title]) / 2**20:,.0f} MiB",
                f"{work.trained / rate / 3600:,.1f}",
            )
            for title, rate in rates.items()
        ],
    )
    forward = max(one["forward"] for one in found[OURS])
    print(
        f"The hours are not measured: {work.trained / 1e6:,.0f} million images at this rate. "
        f"Verification adds {work.verified / forward / 3600:,.1f} hours on this engine, at "
        f"{forward:,.1f} images/s.\n"
    )


def describe(device: str) -> str:
    """Return the name of a device."""
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def fetch_peer(folder: Path) -> None:
    """Fetch `arcface_torch` at the commit that it was last compared at."""
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", read_upstream(project_root()).address],
        ["fetch", "-q", "--depth", "1", "--filter=blob:none", "origin", COMMIT],
        ["checkout", "-q", COMMIT, "--", FOLDER],
    ):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def main() -> None:
    """Prepare what was not given, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", nargs="?", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, nargs="+")
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        print("Not measured on a GPU. This is a rehearsal on the CPU, with small batches.\n")
    with tempfile.TemporaryDirectory() as name:
        workspace = given.workspace or make_workspace(Path(name))
        checkout = given.checkout or Path(name, "checkout")
        if given.checkout is None:
            checkout.mkdir()
            fetch_peer(checkout)
        for batch in given.batch or ([512] if device == "cuda" else [16]):
            source, peer = workspace.resolve() / "src", checkout.resolve() / FOLDER
            compare(source, peer, extract_earlier(Path(name)), Setup.on(device, batch))


if __name__ == "__main__":
    main()
