"""``mfn-patch export``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import (
    PathType,
    engine_option,
    json_option,
    python_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.export import formats

if TYPE_CHECKING:
    from mfn_patcher.checkpoints.selection import Model
    from mfn_patcher.export.card import Card

_LOG = logging.getLogger(__name__)
_WIDTH = max(len(form.name) for form in formats.FORMATS) + 2
_FORMATS = "\n".join(f"  {form.name:<{_WIDTH}}for {form.summary}" for form in formats.FORMATS)
_HELP = f"""Export the network of a checkpoint, from pixels to embedding, to another format.

The format's own runtime runs the result on 64 images, and its embeddings are compared with the
engine's. If they differ, no file is written, and the message names the first layer that differs.
A card beside the model says where it comes from, how to use it, and how it was verified. No file
is overwritten. By default, files are written to the folder `exported` beside the checkpoint.

\b
Formats:
{_FORMATS}
"""


class _FormatChoice(click.Choice[str]):
    """The formats, which are described where the option is missing."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """Say what each format is for, rather than list the names alone."""
        return f"Formats:\n{_FORMATS}"


@click.command(
    help=_HELP,
    short_help="Export a checkpoint to another format.",
    cls=Command,
    examples=(
        "mfn-patch export insightface/models/MobileFaceNet/model-y1-arcface,25 --format onnx",
    ),
)
@click.argument("checkpoint", metavar="PREFIX,EPOCH", shell_complete=completion.checkpoints)
@workspace_option
@click.option(
    "--format",
    "format_name",
    type=_FormatChoice([form.name for form in formats.FORMATS], case_sensitive=False),
    required=True,
    help="Format to write.",
)
@click.option(
    "-o",
    "--output",
    type=PathType(file_okay=False),
    metavar="DIR",
    help="Folder to write to.  [default: exported]",
)
@click.option("--fp16", "half", is_flag=True, help="Write half-precision weights.")
@click.option(
    "--images",
    type=PathType(dir_okay=False, exists=True),
    metavar="SET.bin",
    help="Verify on this set instead of synthetic faces.",
)
@python_option
@engine_option
@json_option
def export(
    checkpoint: str,
    *,
    workspace: Path,
    format_name: str,
    output: Path | None,
    half: bool,
    images: Path | None,
    python: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Export a checkpoint to another format."""
    from mfn_patcher.children import interpreter
    from mfn_patcher.export import run

    form = formats.by_name(format_name)
    if half and form.half_limits is None:
        raise click.UsageError(f"format {form.name} has no half precision: omit --fp16")
    model = _find(checkpoint, workspace)
    folder = output or model.prefix.parent / "exported"
    exported = run.export(
        workspace,
        run.Request(model, form, folder, half, images),
        python=interpreter.find(python),
        environment=os.environ,
        wanted=engine,
    )
    if as_json:
        print_json({"folder": str(folder), **exported.card.as_json()})
        return
    _describe(exported.card)
    for path in exported.files:
        echo(f"{path.stat().st_size:>12,}  {path}")


def _find(checkpoint: str, workspace: Path) -> Model:
    from mfn_patcher.checkpoints import selection

    model = selection.find(checkpoint, Path.cwd(), workspace, formats.runtimes())
    if model.runtime:
        raise click.UsageError(f"{checkpoint} is an exported model; name a checkpoint")
    if len(model.checkpoints) > 1:
        raise click.UsageError(
            f"{checkpoint} has {len(model.checkpoints)} checkpoints: name one as PREFIX,EPOCH"
        )
    return model


def _describe(card: Card) -> None:
    proof = card.proof
    _LOG.info(
        "%s matches %s on %s images: smallest cosine %.9f, largest difference %.2g",
        proof.runtime,
        proof.reference,
        proof.images,
        proof.agreement.cosine,
        proof.agreement.difference,
    )
    if card.conversion.folded:
        _LOG.info("%s batch norms folded", card.conversion.folded)
    if card.network.subnormal or card.conversion.flushed:
        _LOG.info("subnormal weights: %s", card.subnormal_weights)
