"""``mfn-patch env``."""

from __future__ import annotations

import logging
import os
import shlex

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    cpu_option,
    engine_option,
    gpus_option,
    python_option,
    recipe_option,
)
from mfn_patcher.cli.terminal import echo_exactly

_LOG = logging.getLogger(__name__)


@click.command(
    short_help="Print the environment for running the script by hand.",
    cls=Command,
    examples=(
        'eval "$(mfn-patch env --engine torch --cpu)"',
        "cd insightface/src && python -u train_softmax.py --help",
    ),
)
@recipe_option
@gpus_option
@cpu_option
@python_option
@engine_option
def env(recipe_name: str, gpus: str | None, cpu: bool, python: str | None, engine: str) -> None:
    """Print export lines for running the script by hand as `train` would.

    The lines are for a POSIX shell. They set the engine, the devices and the libraries.
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.children.environment import put_first
    from mfn_patcher.engine.choice import choose
    from mfn_patcher.recipes import loading
    from mfn_patcher.training.devices import choose_devices
    from mfn_patcher.training.options import Options

    options = Options(gpus=gpus, cpu=cpu, visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"))
    devices, _ = choose_devices(loading.load(recipe_name), options)
    path = interpreter.find(python)
    chosen = choose(engine, path, os.environ, devices)
    _LOG.info("engine: %s", chosen.describe())
    wanted = put_first(path, chosen.environment(os.environ, devices))
    lines = []
    for name in sorted({*os.environ, *wanted}):
        if name not in wanted:
            lines.append(f"unset {name}\n")
        elif os.environ.get(name) != wanted[name]:
            lines.append(f"export {name}={shlex.quote(wanted[name])}\n")
    # A path may hold bytes that are not valid text.
    echo_exactly(os.fsencode("".join(lines)))
