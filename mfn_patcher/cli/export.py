"""``mfn-patch export``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mfn_patcher.cli.options import (
    PathType,
    engine_option,
    json_option,
    python_option,
    report,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json

_EXAMPLE = """\b
Example:
  mfn-patch export insightface/models/MobileFaceNet/model-y1-arcface,80 --format onnx
"""


@click.command(epilog=_EXAMPLE)
@click.argument("checkpoint", metavar="PREFIX,EPOCH")
@workspace_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["slim", "onnx", "ncnn"]),
    required=True,
    help="slim: MXNet's own files, up to the embedding. ncnn: a .param and a .bin file.",
)
@click.option(
    "-o",
    "--output",
    type=PathType(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to write.  [default: exported, beside the checkpoint]",
)
@click.option("--fp16", "half", is_flag=True, help="Half precision.")
@click.option(
    "--images",
    type=PathType(dir_okay=False, exists=True, path_type=Path),
    metavar="SET.bin",
    help="Prove it with images of a verification set.  [default: drawn faces]",
)
@python_option
@engine_option
@json_option
def export(
    checkpoint: str,
    *,
    workspace: Path,
    form: str,
    output: Path | None,
    half: bool,
    images: Path | None,
    python: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Write the network of a checkpoint, from pixels to embedding, for use elsewhere.

    The result is run by the format's own runtime on 64 images and compared with the engine. If they
    differ, no file is left, and the first layer that differs is named. A card beside the model says
    what it is made from, how to feed it, and how it was verified. Nothing is overwritten, and the
    checkpoint stays as it is.
    """
    from mfn_patcher.checkpoints import selection as models
    from mfn_patcher.children import interpreter
    from mfn_patcher.export import run

    if half and form == "slim":
        raise click.UsageError("--fp16 is not for slim, which is what MXNet loads")
    model = models.find(checkpoint, Path.cwd(), workspace)
    if model.exported:
        raise click.UsageError(f"{checkpoint} is exported; name the checkpoint, as PREFIX,EPOCH")
    if len(model.checkpoints) > 1:
        raise click.UsageError(
            f"{checkpoint} has {len(model.checkpoints)} checkpoints: name one, as PREFIX,EPOCH"
        )
    exported = run.export(
        workspace,
        model,
        form,
        output or model.prefix.parent / "exported",
        python=interpreter.find(python),
        environment=os.environ,
        wanted=engine,
        half=half,
        verification_set=images,
    )
    if as_json:
        print_json({"folder": str(exported.folder), **exported.card.as_json()})
        return
    proof = exported.card.agreement
    report(
        f"{exported.card.runtime} matches {exported.card.reference} on "
        f"{exported.card.images} images: smallest cosine {proof.cosine:.9f}, largest difference "
        f"{proof.difference:.2g}"
    )
    if form != "slim":
        report(f"{exported.card.folded} batch norms folded")
        report(f"subnormal weights: {exported.card.subnormal_weights}")
    for path in exported.files:
        echo(f"{path.stat().st_size:>12,}  {path}")
