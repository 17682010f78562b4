"""The requested devices: how many there are, and whether an engine can compute on them."""

from __future__ import annotations

from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.engine import TITLES, TORCH
from mfn_patcher.engine.candidates import Candidate, dotted
from mfn_patcher.remedies import install


def count_gpus(visible_devices: str) -> int:
    """Return the number of GPUs in a value of ``CUDA_VISIBLE_DEVICES``; 0 for the CPU."""
    return len(visible_devices.split(",")) if visible_devices else 0


def problem_on_gpus(
    candidate: Candidate, python: str, devices: int, wanted: str
) -> InterpreterError | None:
    """Return why a candidate cannot compute on the requested GPUs; None if it can.

    Args:
        candidate: the engine, which can be imported.
        python: path of the training interpreter.
        devices: number of requested GPUs, at least 1.
        wanted: what the run needs, as the end of a message.
    """
    if not candidate.cuda:
        return InterpreterError(
            f"{candidate.build} of {python} is a CPU build, which uses no GPU; {wanted}",
            remedy=f"Pass --cpu to compute on the CPU, or "
            f"{install_gpu_build(candidate.name, python)}.",
        )
    for card, capability in candidate.cards[:devices]:
        if not candidate.runs_on(capability):
            return InterpreterError(
                f"{candidate.build} has no code for compute capability {dotted(capability)} "
                f"({card})",
                remedy="Name another GPU with --gpus, or compute on the CPU with --cpu.",
            )
    if candidate.gpus < devices:
        seen = f"{candidate.gpus} GPU{'' if candidate.gpus == 1 else 's'}"
        return InterpreterError(
            f"{TITLES[candidate.name]} sees {seen}; {wanted}",
            remedy="Name GPUs that nvidia-smi lists with --gpus, or compute on the CPU with --cpu.",
        )
    return None


def install_gpu_build(name: str, python: str) -> str:
    """Return how to install an engine's build for GPUs, as the end of a sentence."""
    if name == TORCH:
        return "install a build of torch for CUDA"
    return f"uninstall mxnet and install a build for GPUs with `{install('cu112', python)}`"
