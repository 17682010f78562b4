"""What only a GPU can show of the engine on PyTorch; under four minutes, without a network.

    python benchmarks/gpu_check.py [--device cpu] [WORKSPACE]

WORKSPACE is a patched one; without it one is made, which needs upstream. In this order: the
recorded operators, SGD to the bit, compiled steps, two devices (of one GPU, unless there are two),
the store of several workers, the trajectories of 2018, `verify`, three stages of `train` with a
kill and a resume, and images per second of stage 3 as documented: batches of 512, 85,164
identities, single precision. With `--device cpu` it rehearses all of it, with a smaller batch.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gpu import Setup, read_ours
from turns import TOOL, make_workspace, print_table

from mfn_patcher.engine import TORCH
from mfn_patcher.engine.environment import PACKAGE, packages
from mfn_patcher.engine.pytorch.mxnet.context import num_gpus
from mfn_patcher.errors import MfnPatchError
from tests.support.operator_vectors import distance, load

PROGRAMS = ROOT / "tests" / "engine" / "programs"
DATA = ROOT / "tests" / "engine" / "data"
LEGACY = json.loads((ROOT / "tests" / "recorded" / "legacy_trajectory.json").read_text())

STORE = """
import os, socket, sys
import mxnet as mx
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    os.environ["DMLC_PS_ROOT_PORT"] = str(free.getsockname()[1])
os.environ.update(DMLC_PS_ROOT_URI="127.0.0.1", DMLC_NODE_HOST="127.0.0.1")
os.environ.update(DMLC_NUM_WORKER="1", DMLC_WORKER_ID="0")
context = mx.gpu(0) if sys.argv[1] == "gpu" else mx.cpu()
store = mx.kv.create("dist_sync")
arrays = [mx.nd.full((size,), size, ctx=context) for size in (3, 600_000)]
store.pushpull(["a", "b"], arrays)
store._barrier()
print([float(array.asnumpy().mean()) for array in arrays], os.environ["NCCL_SOCKET_IFNAME"])
"""


class Check:
    """Runs programs on the engine and device of the check."""

    def __init__(self, device: str, workspace: Path, folder: Path) -> None:
        """Take the device, a patched workspace, and a folder for what is written."""
        self.device, self.workspace, self.folder = device, workspace, folder
        folders = [str(PACKAGE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
        self.environment["CUDA_VISIBLE_DEVICES"] = "0" if device == "gpu" else ""
        self.place = ["--gpus", "0"] if device == "gpu" else ["--cpu"]

    def program(self, *command: str, **variables: str) -> str:
        """Return what a Python program prints."""
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", *command],
            cwd=self.workspace / "src",
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def tool(self, *arguments: str) -> list[str]:
        """Return a command of mfn-patch in the workspace."""
        return [TOOL, *arguments, "-w", str(self.workspace), "--engine", "torch"]

    def operators(self) -> str:
        """Compare every recorded operator with what MXNet computed."""
        recorded, shown = DATA / "operators.npz", []
        for dtype, limit in (("float64", 1e-6), ("float32", 1e-4)):
            path = self.folder / f"{dtype}.npz"
            program = str(PROGRAMS / "run_operators.py")
            self.program(program, str(recorded), str(path), dtype, self.device)
            with np.load(path, allow_pickle=False) as file:
                found = {key: file[key] for key in file.files}
            refused = [str(value) for key, value in found.items() if key.endswith("|error")]
            far = {
                (name, key, array): distance(found[f"{name}|{key}|{array}"].astype("f8"), wanted)
                for name, case in load(recorded).items()
                for (key, array), wanted in case.expected().items()
                if f"{name}|{key}|{array}" in found and wanted.any()
            }
            worst = max(far, key=lambda key: far[key])
            expect(not refused and far[worst] < limit, f"{dtype}: {worst} {far[worst]} {refused}")
            shown.append(f"{dtype} {far[worst]:.1e} ({worst[0]})")
        return "largest difference: " + ", ".join(shown)

    def sgd(self) -> str:
        """Compare parameters and momenta with MXNet's, to the bit."""
        found = json.loads(self.program(str(PROGRAMS / "sgd.py"), self.device).splitlines()[-1])
        wanted = json.loads((DATA / "sgd.json").read_text())
        different = [name for name in wanted if found.get(name) != wanted[name]]
        expect(not different, f"different: {different}")
        return f"{len(wanted)} cases, every bit"

    def compiled(self) -> str:
        """Compare fifty compiled steps of a small network with others, in each precision."""

        def train(compiled: str, precision: str) -> dict[str, Any]:
            program = str(PROGRAMS / "compiled.py")
            printed = self.program(program, compiled, precision, self.device)
            found: dict[str, Any] = json.loads(printed.splitlines()[-1])
            return found

        shown = []
        precisions = ("fp32", "tf32", "bf16") if self.device == "gpu" else ("fp32",)
        for precision, limit in zip(precisions, (1e-5, 1e-2, 1e-1)):
            fast, slow = train("on", precision), train("off", precision)
            far = max(abs(a - b) for a, b in zip(fast["losses"], slow["losses"]))
            once = fast["compiled"] == [1, 1] and fast["recordings"] == (self.device == "gpu")
            expect(far < limit and once and not fast["logged"], f"{precision} {far} {fast}")
            shown.append(f"{precision} {far:.1e}")
        return "largest difference of 50 losses: " + ", ".join(shown)

    def devices(self) -> str:
        """Compare training on two devices with MXNet's, in double precision."""
        two, limit = num_gpus() > 1, 1e-6
        numbers = ["0", "1" if two else "0"] if self.device == "gpu" else []
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(sorted(set(numbers)))}
        printed = self.program(str(PROGRAMS / "devices.py"), *numbers, **visible)
        found = json.loads(printed.splitlines()[-1])
        wanted = json.loads((DATA / "devices.json").read_text())
        pairs = zip(itertools.chain(*found["epochs"]), itertools.chain(*wanted["epochs"]))
        far = max(
            np.abs(np.subtract(ours[name], theirs[name])).max() / np.abs(theirs[name]).max()
            for ours, theirs in pairs
            for name in theirs
        )
        expect(found["calls"] == wanted["calls"] and far < limit, f"off by {far}")
        return f"largest difference {far:.1e}, on GPUs {numbers}"

    def store(self) -> str:
        """Have a store add up the arrays of one worker."""
        printed = self.program("-c", STORE, self.device).splitlines()[-1]
        expect(printed == "[3.0, 600000.0] lo", printed)
        return "joined, added, left"

    def trajectories(self) -> str:
        """Compare eight steps with those of 2018."""
        program = str(ROOT / "tests" / "upstream" / "programs" / "trajectory.py")
        shown = []
        for loss, kind in (("softmax", "0"), ("arcface", "4")):
            printed = self.program(program, kind, "8", self.device).splitlines()[-1]
            pairs = zip(json.loads(printed)["loss"], LEGACY["loss"][loss])
            far = [abs(a - b) / b for a, b in pairs]
            within = zip(far, LEGACY["tolerance"][loss])
            expect(all(a < limit for a, limit in within), f"{loss} is off by {far}")
            shown.append(f"{loss} {far[2]:.1e} in step 3, {max(far):.1e} in 8 steps")
        return "largest difference of losses: " + ", ".join(shown)

    def verify(self) -> str:
        """Let the tool verify the patched script."""
        subprocess.run(self.tool("verify"), check=True, stdout=sys.stderr)
        return "passed"

    def stages(self) -> str:
        """Train three stages, kill the third in the middle, and resume it."""
        data, models = self.folder / "data", self.folder / "models"
        subprocess.run([TOOL, "data", "synth", str(data)], check=True, stdout=sys.stderr)
        command = self.tool("train", "--stage", "all", *self.place, "--batch-size", "16")
        command += ["--max-steps", "20", "--checkpoint-every", "10"]
        command += ["--data-dir", str(data), "--models-dir", str(models)]
        # Compiling, once for each stage, would take longer than the stages.
        script = ["--", "--compile", "off"]
        training = subprocess.Popen([*command, *script], stdout=sys.stderr)
        first = models / "model-y1-arcface-0001.json"
        try:
            while not first.exists() and training.poll() is None:
                time.sleep(0.05)
        finally:
            for process in (training.pid, *children_of(training.pid)):
                os.kill(process, signal.SIGKILL)
            training.wait()
        expect(first.exists(), "training ended before its third stage had saved")
        subprocess.run([*command, "--resume", *script], check=True, stdout=sys.stderr)
        return f"{len(list(models.glob('*.params')))} checkpoints, resumed after a kill"

    def speed(self) -> str:
        """Time stage 3 as documented."""
        setup = Setup.on("cuda", 512) if self.device == "gpu" else Setup.on("cpu", 16)
        found = read_ours(self.workspace / "src", setup, (), packages(TORCH))
        return (
            f"{found['rate']:,.0f} images/s (batches of {setup.batch}, {setup.classes:,} "
            f"identities, fp32); peak {found['peak'] / 2**30:.1f} GiB"
        )


class CheckError(Exception):
    """A part of the check failed."""


def expect(holds: bool, otherwise: str) -> None:
    """Fail a part of the check unless something holds."""
    if not holds:
        raise CheckError(otherwise)


def children_of(process: int) -> list[int]:
    """Return the processes that a process has started: for a training run, the script."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may contain anything; state and parent come after it.
            parent = status.read_text().rpartition(")")[2].split()[1]
            if int(parent) == process:
                found.append(int(status.parent.name))
    return found


def card(device: str) -> str:
    """Return the name of the device."""
    return torch.cuda.get_device_name(0) if device == "gpu" else "the CPU, as a rehearsal"


def main() -> None:
    """Run all checks and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", nargs="?", type=Path)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="gpu")
    given = parser.parse_args()
    if given.device == "gpu" and not num_gpus():
        print("Not measured on a GPU: PyTorch sees none on this machine.")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = given.workspace or make_workspace(folder)
        check = Check(given.device, workspace.resolve(), folder)
        parts: Mapping[str, Callable[[], str]] = {
            "recorded operators": check.operators,
            "SGD": check.sgd,
            "compiled steps": check.compiled,
            "two devices": check.devices,
            "store": check.store,
            "trajectories of 2018": check.trajectories,
            "verify": check.verify,
            "three stages": check.stages,
            "speed": check.speed,
        }
        rows: list[tuple[Any, ...]] = []
        failed = []
        for title, part in parts.items():
            print(f"{title} ...", file=sys.stderr)
            began = time.monotonic()
            try:
                result = part()
            except (CheckError, MfnPatchError, SystemExit, subprocess.CalledProcessError) as error:
                # The other parts still run: time on a GPU may be hard to come by again.
                failed.append(title)
                result = f"FAILED: {error}"
            print(f"{title}: {result}", file=sys.stderr)
            rows.append((title, result, f"{time.monotonic() - began:.0f} s"))
    print_table(f"The engine on {card(given.device)}", ("", "result", "took"), rows)
    if failed:
        raise SystemExit(f"gpu_check: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
