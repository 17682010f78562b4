"""The training interpreter: finding it, and asking what is installed there."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfn_patcher.children import programs
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.progress import task
from mfn_patcher.remedies import install, pip_install

_ENVIRONMENT = "environment"
_OLDEST, _NEWEST = (3, 10), (3, 14)
_NEWEST_FOR_MXNET = (3, 11)
_PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-image", "easydict")
_SECONDS = 120

# Errors of importing MXNet, and their remedies.
_REMEDIES = {
    r"lib(gomp|quadmath)\.so": "Install it with `apt-get install libgomp1 libquadmath0`.",
    r"libcuda\.so": "That is NVIDIA's driver, which pip cannot install: install it from your "
    "distribution (on Debian `apt-get install nvidia-driver`; start a container with `--gpus "
    "all`), or install a CPU build of MXNet.",
    r"has no attribute 'bool'": "Its NumPy is too new: `{pip} 'numpy<1.24'`.",
}


# The packages of NVIDIA's libraries.
_NVIDIA_PACKAGES = {
    "cublas": "nvidia-cublas-cu11",
    "cublasLt": "nvidia-cublas-cu11",
    "cudart": "nvidia-cuda-runtime-cu11",
    "cudnn": "nvidia-cudnn-cu11",
    "cufft": "nvidia-cufft-cu11",
    "curand": "nvidia-curand-cu11",
    "cusolver": "nvidia-cusolver-cu11",
    "cusparse": "nvidia-cusparse-cu11",
    "nccl": "nvidia-nccl-cu11",
    "nvToolsExt": "nvidia-nvtx-cu11",
    "nvrtc": "nvidia-cuda-nvrtc-cu11",
}


_LOG = logging.getLogger(__name__)


class InterpreterError(MfnPatchError):
    """The training interpreter is missing, or cannot train."""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter and what is installed there.

    Attributes:
        path: absolute path.
        python: version of Python.
        versions: versions of the installed distributions that training depends on, by name.
        libraries: folders of NVIDIA's shared libraries.
        mxnet_library: path of ``libmxnet.so``; None if MXNet is not installed.
    """

    path: str
    python: str
    versions: Mapping[str, str]
    libraries: tuple[str, ...]
    mxnet_library: str | None = None


def find(python: str | None) -> str:
    """Return the absolute path of an interpreter.

    Args:
        python: path, or name to look up in ``PATH``; None for the interpreter that runs this.

    Raises:
        InterpreterError: There is none.
    """
    if python is None:
        return sys.executable
    found = shutil.which(python)
    if found is None:
        raise InterpreterError(
            f"no such interpreter: {python!r}", remedy="Name one of Python 3.10 to 3.14."
        )
    # Links must not be resolved: a virtual environment's interpreter is one.
    return os.path.abspath(found)  # noqa: PTH100


def inspect(python: str, environment: Mapping[str, str], engine: str = "auto") -> Interpreter:
    """Ask an interpreter what is installed there.

    Args:
        python: path of the interpreter.
        environment: environment variables of the interpreter.
        engine: ``mxnet`` or ``torch`` if the user asks for one, whose extra a remedy then names.

    Raises:
        InterpreterError: It does not run, neither engine supports its version, or packages that
            both engines need are missing.
    """
    report = ask(python, environment, _ENVIRONMENT)
    version = tuple(int(part) for part in report["python"].split(".")[:2])
    if not _OLDEST <= version <= _NEWEST:
        raise InterpreterError(
            f"{python} is Python {report['python']}, which neither engine supports",
            remedy="Name one of Python 3.10 to 3.14 with --python (3.10 or 3.11 for MXNet).",
        )
    versions = report["versions"]
    missing = [name for name in _PACKAGES if name not in versions]
    if not any(name.startswith("opencv-") for name in versions):
        missing.append("opencv-python-headless")
    if missing:
        torch = engine == "torch"
        if engine == "auto":
            torch = "torch" in versions or version > _NEWEST_FOR_MXNET
        command = install("torch" if torch else "cpu", python)
        raise InterpreterError(
            f"{python} is missing {', '.join(missing)}",
            remedy=f"Install what training needs with `{command}`.",
        )
    return Interpreter(
        python, report["python"], versions, tuple(report["libraries"]), report["mxnet_library"]
    )


def try_import(interpreter: Interpreter, environment: Mapping[str, str]) -> dict[str, Any]:
    """Import ``mxnet`` as the script will.

    Args:
        interpreter: the training interpreter.
        environment: environment variables of the run, which determine the engine that is found.

    Returns:
        ``error``, or ``version``, ``cuda`` and ``gpus``; and ``torch`` if that computes.

    Raises:
        InterpreterError: The interpreter ended without an answer.
    """
    answer: dict[str, Any] = ask(interpreter.path, environment, _ENVIRONMENT, "--import")["mxnet"]
    return answer


def remedy(error: str, python: str) -> str:
    """Return the remedy for an error of importing MXNet or of loading a library that it links."""
    for pattern, known in _REMEDIES.items():
        if re.search(pattern, error):
            return known.format(pip=pip_install(python))
    missing = re.search(r"lib(\w+)\.so", error)
    package = _NVIDIA_PACKAGES.get(missing[1]) if missing else None
    if package is None:
        return _install(python)
    return (
        f"Install it with `{pip_install(python)} {_locked(package)}`, or all of NVIDIA's libraries "
        f"with `{install('cu112', python)}`."
    )


def _install(python: str) -> str:
    return (
        f"Install it there with `{install('cpu', python)}` (for GPUs, with the extra cu112 instead "
        "of cpu), or name another interpreter with --python."
    )


def _locked(package: str) -> str:
    """Return the requirement of a package as extra ``cu112`` has it, with its version."""
    for requirement in importlib.metadata.requires("mfn-patcher") or ():
        name = requirement.partition(";")[0].strip()
        if name.startswith(f"{package}=="):
            return name
    return package


def ask(
    python: str,
    environment: Mapping[str, str],
    program: str,
    *arguments: str,
    seconds: float = _SECONDS,
) -> dict[str, Any]:
    """Run a program of ours that prints JSON as the last line of its output.

    Args:
        python: path of the interpreter that runs it.
        environment: environment variables of the program.
        program: name of its module in `programs`.
        arguments: arguments of the program.
        seconds: timeout.

    Raises:
        InterpreterError: There is no answer.
    """
    command = programs.command(python, program, *arguments)
    _LOG.debug("running %s", shlex.join(command))
    try:
        with task(programs.TASKS[program]):
            ran = subprocess.run(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                check=False,
            )
    except OSError as error:
        raise InterpreterError(f"cannot run {python}: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(
            f"{python} did not finish {program} within {seconds:.0f} s",
            remedy="Try again when the machine is less busy.",
        ) from error
    try:
        report: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise _unanswered(python, program, ran) from None
    return report


def _unanswered(
    python: str, program: str, ran: subprocess.CompletedProcess[str]
) -> InterpreterError:
    ended = f"exit status {ran.returncode}"
    if ran.returncode < 0:
        ended = f"killed by {signal.Signals(-ran.returncode).name}"
    said = "\n".join(ran.stderr.splitlines()[-5:])
    if program != _ENVIRONMENT:
        # It has run program environment before, so it is an interpreter.
        return InterpreterError(f"{program} failed in {python} ({ended})\n{said}".rstrip())
    return InterpreterError(
        f"could not query the interpreter {python} ({ended})\n{said}".rstrip(),
        remedy="Name one of Python 3.10 to 3.14 with --python.",
    )
