"""Which devices a command computes on: the value of ``CUDA_VISIBLE_DEVICES``."""

from __future__ import annotations

import re

from mfn_patcher.recipes.model import Recipe
from mfn_patcher.training.options import Options, PlanError

_DEVICE = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")


def choose_devices(recipe: Recipe, options: Options) -> tuple[str, str]:
    """Choose the devices: the options decide, then the environment, then the recipe.

    Returns:
        The value of ``CUDA_VISIBLE_DEVICES``, empty for the CPU, and the reason for it, empty if
        it is the recipe's.

    Raises:
        PlanError: the options contradict each other, or name something that is not a GPU.
    """
    if options.cpu and options.gpus is not None:
        raise PlanError("--cpu and --gpus are mutually exclusive")
    if options.cpu:
        return "", "given as --cpu"
    if options.gpus is not None:
        _check(options.gpus, "--gpus")
        return options.gpus, "given as --gpus"
    if options.visible_devices is not None:
        value = options.visible_devices.strip()
        if value:
            _check(value, "CUDA_VISIBLE_DEVICES in your environment")
        return value, "set in your environment"
    return recipe.cuda_visible_devices, ""


def _check(value: str, where: str) -> None:
    devices = value.split(",")
    for device in devices:
        if not _DEVICE.fullmatch(device):
            raise PlanError(
                f"{where}: {device!r} is not a GPU",
                remedy="Give indices or UUIDs separated by commas, such as 0,1, or --cpu.",
            )
    names = [device.lstrip("0") or "0" for device in devices]
    if len(set(names)) < len(names):
        raise PlanError(f"{where}: {value!r} names a GPU twice")
