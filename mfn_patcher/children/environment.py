"""The environment variables of the training interpreter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


def child_environment(
    base: Mapping[str, str], visible_devices: str, libraries: Sequence[str], cpus: Path = _CPUS
) -> dict[str, str]:
    """Return the environment variables of the script.

    Args:
        base: environment variables of the tool.
        visible_devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        libraries: folders of NVIDIA's shared libraries, which the loader searches first.
        cpus: folder in which the system describes its CPUs.
    """
    environment = {**base, "CUDA_VISIBLE_DEVICES": visible_devices}
    if not visible_devices:
        # MXNet's default can be a single thread; one per core was 1.9 times as fast when measured.
        environment.setdefault("OMP_NUM_THREADS", str(count_cores(cpus)))
        if "OMP_WAIT_POLICY" not in environment:
            # How long threads spin before they sleep. The default, 300,000, keeps the cores from
            # the threads that are waited for: beside other programs, PyTorch's steps took 1.5 times
            # as long. Alone, they take the same (`benchmarks/threads.py`).
            environment.setdefault("GOMP_SPINCOUNT", "10000")
    if libraries:
        # An empty entry would be the current folder.
        folders = [*libraries, *filter(None, [base.get("LD_LIBRARY_PATH")])]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    return environment


def put_first(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a shell finds an interpreter as ``python``.

    Args:
        python: path of the interpreter.
        environment: environment variables to start from.
    """
    folder, path = str(Path(python).parent), environment.get("PATH", os.defpath)
    there = shutil.which("python", path=path)
    if (there and Path(there).parent == Path(folder)) or not (Path(folder) / "python").exists():
        return dict(environment)
    return {**environment, "PATH": os.pathsep.join([folder, path])}


def count_cores(cpus: Path = _CPUS) -> int:
    """Return the number of physical cores this process may use; of logical ones if unknown."""
    allowed = os.sched_getaffinity(0)
    try:
        cores = {(cpus / f"cpu{cpu}/topology/thread_siblings_list").read_text() for cpu in allowed}
    except OSError:
        return len(allowed)
    return len(cores)
