"""The environment variables of a training run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


def child_environment(
    base: Mapping[str, str], visible_devices: str, libraries: Sequence[str], cpus: Path = _CPUS
) -> dict[str, str]:
    """Return the environment to run the script in.

    Args:
        base: The tool's own.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        libraries: Folders of NVIDIA's shared libraries, which the loader must find first.
        cpus: Where the system describes its CPUs.
    """
    environment = {**base, "CUDA_VISIBLE_DEVICES": visible_devices}
    if not visible_devices:
        # MXNet's own choice can be one thread; a thread a core was measured 1.9 times as fast.
        environment.setdefault("OMP_NUM_THREADS", str(count_cores(cpus)))
    if libraries:
        # An empty part would stand for the current folder.
        folders = [*libraries, *filter(None, [base.get("LD_LIBRARY_PATH")])]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(folders)
    return environment


def put_first(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a shell finds an interpreter under the name ``python``.

    Args:
        python: path of the interpreter.
        environment: the variables to start from.
    """
    folder, path = str(Path(python).parent), environment.get("PATH", os.defpath)
    there = shutil.which("python", path=path)
    if (there and Path(there).parent == Path(folder)) or not (Path(folder) / "python").exists():
        return dict(environment)
    return {**environment, "PATH": os.pathsep.join([folder, path])}


def count_cores(cpus: Path = _CPUS) -> int:
    """Return how many physical cores this process may use; logical ones if that can't be told."""
    allowed = os.sched_getaffinity(0)
    try:
        cores = {(cpus / f"cpu{cpu}/topology/thread_siblings_list").read_text() for cpu in allowed}
    except OSError:
        return len(allowed)
    return len(cores)
