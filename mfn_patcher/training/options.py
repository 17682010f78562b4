"""The options of a training run, before they are combined with a recipe."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.arguments import may_mean
from mfn_patcher.checkpoints.selection import checkpoint_name
from mfn_patcher.engine import MXNET, TORCH
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.files import absolute
from mfn_patcher.trainer.mfn_trainer.precision import FP32

DEFAULT_SEED = 0
"""The seed if the user gives none, so that the same command repeats the same run."""

# Arguments of the script that the tool sets itself, and the options of the tool that set them.
_MANAGED: dict[str, str | None] = {
    "--max-steps": "--max-steps or --until-stopped",
    "--verbose": "--checkpoint-every",
    "--prefix": "--models-dir",
    "--data-dir": "--data-dir",
    "--pretrained": "--pretrained",
    "--per-batch-size": "--batch-size",
    "--seed": "--seed",
    "--precision": "--precision",
    "--resume": "--resume",
    "--keep": "--keep",
    "--keep-always": "--keep",
    "--kvstore": "--cluster",
    "--progress": None,
}


class PlanError(MfnPatchError):
    """The options contradict one another, the recipe or the script."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Options:
    """Options of a training run; None leaves the recipe's value.

    Attributes:
        data_dir: folder of the data set; absolute, because the script runs in another folder.
        models_dir: folder where checkpoints are saved; absolute.
        gpus: indices or UUIDs of GPUs, separated by commas.
        cpu: whether to train on the CPU.
        batch_size: images per step, over all devices of all workers.
        workers: number of ranks that train together; None to train on this host alone.
        scale_steps: whether to rescale step counts to `batch_size`.
        max_steps: number of steps to train, not rescaled.
        until_stopped: whether to train without a step limit.
        checkpoint_every: steps between checkpoints.
        pretrained: prefix (absolute) and number of the checkpoint to start from.
        seed: random seed; None to leave the script unseeded, so that no run repeats another.
        precision: precision of the network, one of `mfn_trainer.precision.PRECISIONS`.
        keep: number of recent checkpoints to keep beside the best ones; None keeps all.
        script_arguments: arguments appended to the script's command unchanged.
        visible_devices: ``CUDA_VISIBLE_DEVICES`` in the user's environment.
    """

    data_dir: Path | None = None
    models_dir: Path | None = None
    gpus: str | None = None
    cpu: bool = False
    batch_size: int | None = None
    workers: int | None = None
    scale_steps: bool = False
    max_steps: int | None = None
    until_stopped: bool = False
    checkpoint_every: int | None = None
    pretrained: tuple[str, int] | None = None
    seed: int | None = None
    precision: str = FP32
    keep: int | None = None
    script_arguments: tuple[str, ...] = ()
    visible_devices: str | None = None

    def check(self) -> None:
        """Check the options that can be checked without a recipe.

        Raises:
            PlanError: they contradict one another, or the script cannot take them.
        """
        if self.until_stopped and self.max_steps:
            raise PlanError("--until-stopped and --max-steps are mutually exclusive")
        for path in (self.data_dir, self.models_dir, (self.pretrained or ("",))[0]):
            if path and "," in str(path):
                raise PlanError(
                    f"{str(path)!r} contains a comma, at which the script splits its arguments",
                    remedy="Use a path without a comma, for example a symbolic link.",
                )
        for token in self.script_arguments:
            for managed, option in _MANAGED.items():
                if may_mean(token, managed):
                    instead = f"Use {option} of mfn-patch train, before the --."
                    raise PlanError(
                        f"{token!r} after -- sets {managed}, which mfn-patch manages",
                        remedy=instead if option else f"Leave {managed} out.",
                    )

    def choose_engine(self, wanted: str) -> str:
        """Return the engine to ask for: only the one on PyTorch has other precisions than fp32.

        Args:
            wanted: the engine that the user asks for, or ``auto``.

        Raises:
            PlanError: it cannot compute in the precision.
        """
        if self.precision == FP32:
            return wanted
        if wanted == MXNET:
            raise PlanError(
                f"MXNet does not compute in precision {self.precision}",
                remedy="Use --engine torch, or omit --precision.",
            )
        return TORCH


def parse_checkpoint(text: str, folder: Path) -> tuple[str, int]:
    """Return prefix and number of ``PREFIX,EPOCH``.

    Args:
        text: what the user gave.
        folder: the folder that a relative prefix is relative to.

    Raises:
        PlanError: the text has another form.
    """
    prefix, _, number = text.rpartition(",")
    if not prefix or not number.isdecimal():
        raise PlanError(
            f"--pretrained {text!r} is not of the form PREFIX,EPOCH",
            remedy=f"Pass --pretrained {shlex.quote(named)}."
            if (named := checkpoint_name(text))
            else "For the file MODELS/model-y1-arcface-0080.params, pass "
            "MODELS/model-y1-arcface,80.",
        )
    return absolute(Path(prefix), folder), int(number)
