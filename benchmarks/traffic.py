"""What hosts send each other in a step, against what `docs/cluster.md` calculates.

    python benchmarks/traffic.py

Two and four network namespaces train together with as many identities as MS1M has, started by
Open MPI; the system counts the bytes of their interfaces between two steps. Needs root, ip and
Debian's openmpi-bin.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from turns import TOOL, make_workspace, print_table

sys.path[:0] = [str(Path(__file__).parents[1])]

from mfn_patcher.cluster.scaling import Traffic
from mfn_patcher.data.property_file import write_property
from mfn_patcher.data.synth import synthesise
from mfn_patcher.engine import MXNET, TITLES, TORCH
from mfn_patcher.recipes.published import IDENTITIES
from mfn_patcher.training.watch.progress import read_progress
from tests.support.launched import wait_until
from tests.support.namespaces import Network, unavailable

FIRST, STEPS = 4, 10  # before the first of them, parameters are also distributed


def sent(network: Network) -> list[int]:
    """Return the bytes that each host has sent so far."""
    file = "/sys/class/net/eth0/statistics/tx_bytes"
    return [
        int(
            subprocess.run(
                ["ip", "netns", "exec", network.namespace(name), "cat", file],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        for name in network.addresses
    ]


def measure(
    names: str, engine: str, workspace: Path, data: Path, place: Path
) -> tuple[float, float]:
    """Return the megabytes per step that a host has sent, minimum and maximum."""
    options = ["train", "-w", str(workspace), "--data-dir", str(data), "--stage", "2", "--cpu"]
    options += ["--engine", engine, "--batch-size", str(len(names)), "--cluster"]
    options += ["--", "--target", ""]
    with Network(names, place) as network:
        started = network.mpirun([TOOL, *options], place, {})
        try:

            def step() -> int:
                runs = sorted(workspace.glob("runs/*/progress"))
                if not runs:
                    return 0
                with runs[-1].open("rb") as file:
                    progress = read_progress(file.fileno())
                return progress.step if progress else 0

            assert wait_until(lambda: step() >= FIRST, 200), started.output()
            first, before = step(), sent(network)
            assert wait_until(lambda: step() >= first + STEPS, 200), started.output()
            last, after = step(), sent(network)
        finally:
            started.kill()
    shutil.rmtree(workspace / "runs")
    each = [(b - a) / (last - first) / 1e6 for a, b in zip(before, after)]
    return min(each), max(each)


def main() -> None:
    """Patch a workspace, measure and print the table."""
    why = unavailable() or (None if shutil.which("mpirun.openmpi") else "needs openmpi-bin")
    if why:
        print(f"Not measured: {why}")
        return
    os.environ.update(OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1")
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workspace, data = make_workspace(Path(folder)), Path(folder, "faces")
        synthesise(data, identities=8, images_per_identity=12)
        write_property(data, IDENTITIES)
        for names, engine in itertools.product(("ab", "abcd"), (MXNET, TORCH)):
            least, most = measure(names, engine, workspace, data, Path(folder))
            calculated = Traffic(len(names)).sent_bytes / 1e6
            ratio = (least + most) / 2 / calculated
            figures = [f"{calculated:.1f} MB", f"{least:.1f} to {most:.1f} MB", f"{ratio:.3f}"]
            rows.append([f"{len(names)} hosts, {TITLES[engine]}", *figures])
    columns = ["", "calculated", f"sent by each, over {STEPS} steps", "ratio"]
    print_table(f"Bytes per step and host, {IDENTITIES:,} identities", columns, rows)


if __name__ == "__main__":
    main()
