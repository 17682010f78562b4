"""``mfn-patch env``."""

from __future__ import annotations

import os
import shlex

import click

from mfn_patcher.cli.options import engine_option, python_option, recipe_option, report
from mfn_patcher.cli.terminal import echo_exactly

_EXAMPLE = """\b
Example:
  eval "$(mfn-patch env --engine torch --cpu)"
  cd insightface/src && python -u train_softmax.py --help
"""


@click.command(epilog=_EXAMPLE)
@recipe_option
@click.option("--gpus", metavar="LIST", help="GPUs to train on, such as 0,1.")
@click.option("--cpu", is_flag=True, help="Train on the CPU.")
@python_option
@engine_option
def env(recipe_name: str, gpus: str | None, cpu: bool, python: str | None, engine: str) -> None:
    """Print the export lines of train's environment, to run the script by hand.

    They are for a POSIX shell, and set what train sets: the engine, the devices, the libraries.
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
    report(f"computed by {chosen.describe()}")
    wanted = put_first(path, chosen.environment(os.environ, devices))
    lines = []
    for name in sorted({*os.environ, *wanted}):
        if name not in wanted:
            lines.append(f"unset {name}\n")
        elif os.environ.get(name) != wanted[name]:
            lines.append(f"export {name}={shlex.quote(wanted[name])}\n")
    # A path may hold bytes that are no text.
    echo_exactly(os.fsencode("".join(lines)))
