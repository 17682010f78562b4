"""An estimate of the GPU memory and disk space that training requires.

The real script builds its network and optimizer, and the engine reports sizes: MXNet binds them,
which plans all memory without touching any; on PyTorch, the sizes of the tensors that the backward
pass reads are added up. On an H200, stage 3 needed 8 % less than estimated on PyTorch; MXNet was
not measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.children import dry_run
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.training.plan import StagePlan

ON_TOP = 3 << 29
"""The most bytes that the estimate leaves out: a convolution of cuDNN may use a workspace of 1 GiB,
the default of MXNet's argument `workspace`, and CUDA with the code of these libraries takes up to
about half a GiB."""


class EstimateError(MfnPatchError):
    """The script fails before training starts with these arguments."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Estimated requirements of the stages of a run.

    Attributes:
        identities: number of identities that it is estimated for.
        gpu_bytes: bytes on each GPU: activations and their gradients as the engine lays them out,
            parameters, their gradients and momentum, and a batch. `ON_TOP` comes on top.
        activation_bytes: the part of it that grows with the batch size.
        checkpoint_bytes: size of one checkpoint.
        checkpoints: the most checkpoints that the stages save.
    """

    identities: int
    gpu_bytes: int
    activation_bytes: int
    checkpoint_bytes: int
    checkpoints: int

    @property
    def disk_bytes(self) -> int:
        """Size of all checkpoints."""
        return self.checkpoint_bytes * self.checkpoints

    def gpu_bytes_with(self, share: float) -> float:
        """Return `gpu_bytes` for a batch `share` times as large."""
        return self.gpu_bytes + (share - 1) * self.activation_bytes


def estimate(
    plans: Sequence[StagePlan],
    source: Path,
    engine: Engine,
    environment: Mapping[str, str],
    identities: int,
) -> MemoryEstimate:
    """Estimate the requirements of stages, with the real script and the engine, on the CPU.

    Args:
        plans: plans of the stages.
        source: folder of the script.
        engine: the engine that will train.
        environment: the variables to start from.
        identities: number of identities in the data set, which is the width of the last layer.

    Raises:
        EstimateError: the script refuses the arguments of a stage, or does not run.
        DryRunError: the script ended the interpreter.
    """
    child = engine.environment(environment, "")
    cases = [plan.arguments for plan in plans]
    report = dry_run.ask(source, engine.interpreter.path, child, cases, classes=identities)
    if "error" in report:
        raise EstimateError(f"the script fails before training starts: {report['error']}")
    held = [case["bytes"] for case in report["cases"]]
    growing = [found["activations"] + found["batch"] for found in held]
    # Momentum is as large as the gradients. Checkpoints of seeded runs include it.
    momenta = [found["gradients"] for found in held]
    fixed = [f["parameters"] + 2 * f["gradients"] + f["moving_averages"] for f in held]
    largest = max(range(len(held)), key=lambda index: growing[index] + fixed[index])
    return MemoryEstimate(
        identities=identities,
        gpu_bytes=growing[largest] + fixed[largest],
        activation_bytes=growing[largest],
        checkpoint_bytes=max(
            found["parameters"] + found["moving_averages"] + (plan.seed is not None) * momentum
            for plan, found, momentum in zip(plans, held, momenta)
        ),
        checkpoints=sum(plan.steps // plan.checkpoint_every for plan in plans if plan.steps),
    )
