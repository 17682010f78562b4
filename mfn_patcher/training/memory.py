"""What a training will need of GPU memory and disk, before it runs.

Nothing here was measured on a GPU. The real script builds its network and optimizer, and the engine
is asked: MXNet binds them, which plans all memory and touches none; on PyTorch the sizes of what
backward reads again are added up.
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
"""Bytes that the estimate leaves out, at most: a convolution of cuDNN may use 1 GiB to work in,
which is the default of MXNet's argument `workspace`, and CUDA with these libraries' code takes up
to about half a GiB."""


class EstimateError(MfnPatchError):
    """The script does not get as far as training with these arguments."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What the stages of a training need; an estimate.

    Attributes:
        identities: That it is reckoned for.
        gpu_bytes: On each GPU: activations and their gradients as the engine lays them
            out, parameters, their gradients and momentum, and a batch. `ON_TOP` comes on top.
        activation_bytes: What of that grows with the batch.
        checkpoint_bytes: Of one checkpoint.
        checkpoints: How many the stages save, at most.
    """

    identities: int
    gpu_bytes: int
    activation_bytes: int
    checkpoint_bytes: int
    checkpoints: int

    @property
    def disk_bytes(self) -> int:
        """Of all checkpoints."""
        return self.checkpoint_bytes * self.checkpoints

    def gpu_bytes_with(self, share: float) -> float:
        """Return `gpu_bytes` for a batch of `share` times the size."""
        return self.gpu_bytes + (share - 1) * self.activation_bytes


def estimate(
    plans: Sequence[StagePlan],
    source: Path,
    engine: Engine,
    environment: Mapping[str, str],
    identities: int,
) -> MemoryEstimate:
    """Estimate what stages need, with the real script and the engine on the CPU.

    Args:
        plans: Of the stages.
        source: The folder that the script is in.
        engine: That will train.
        environment: The variables to start from.
        identities: Of the data set: the width of the last layer.

    Raises:
        EstimateError: The script refuses the arguments of a stage, or does not run.
        DryRunError: It ended the interpreter.
    """
    child = engine.environment(environment, "")
    cases = [plan.arguments for plan in plans]
    report = dry_run.ask(source, engine.interpreter.path, child, cases, classes=identities)
    if "error" in report:
        raise EstimateError(f"the script does not get as far as training: {report['error']}")
    held = [case["bytes"] for case in report["cases"]]
    growing = [found["activations"] + found["batch"] for found in held]
    # Momentum is as large as the gradients. A checkpoint has it where there is a seed.
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
