"""Figures of an evaluation, and interpreters that answer as told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from mfn_patcher.checkpoints import selection
from mfn_patcher.evaluation import plan as plans
from mfn_patcher.evaluation.figures import Figures, Roc
from mfn_patcher.evaluation.plan import Plan, Settings
from mfn_patcher.export import formats
from mfn_patcher.recipes import loading

ENGINE = {"name": "mxnet", "build": "mxnet 1.9.1", "reason": "it is installed"}
FIGURES = Figures(
    pairs=6000,
    different=3000,
    accuracy=0.995,
    std=0.004,
    accuracy_without_flip=0.99,
    std_without_flip=0.005,
    threshold=1.5,
    threshold_without_flip=1.4,
    tar=0.98,
    tar_std=0.01,
    far=0.0025,
    xnorm=11.0,
    roc=Roc((0.0, 0.0, 0.001, 0.5, 1.0), (0.1, 0.9, 0.98, 1.0, 1.0)),
)


def plan(workspace: Path, *, which: str = "models/m", devices: str = "", **settings: Any) -> Plan:
    """Plan an evaluation of what `which` names in a workspace."""
    found = selection.find(which, workspace, workspace, formats.runtimes())
    return plans.plan(workspace, loading.load(), found, Settings(devices, **settings))


def child(folder: Path, *commands: str) -> str:
    """Return the path of an interpreter that runs these commands of a shell instead."""
    path = folder / "a python"
    path.write_text("\n".join(["#!/bin/sh", *commands, ""]))
    path.chmod(0o755)
    return str(path)


def say(**event: Any) -> str:
    """Return the command of a shell that reports an event."""
    return f"echo '{json.dumps(event)}'"


def result(number: int, name: str, accuracy: float) -> str:
    """Return the command of a shell that reports the figures of a checkpoint on a set."""
    figures = dataclasses.replace(FIGURES, accuracy=accuracy)
    return say(checkpoint=number, set=name, result=dataclasses.asdict(figures))
