"""``mfn-patch embed``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import PathType, json_option
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.export import formats

_FILE = PathType(dir_okay=False)
_HELP = f"""Embed aligned faces with an exported model.

MODEL is a file written by `mfn-patch export`: {formats.suffixes()}. Each IMAGE is a crop of 112x112
pixels, aligned like the training data. Prints one line per image: its path, a tab, and its
embedding, normalised to length 1.
"""


@click.command(
    help=_HELP,
    short_help="Embed aligned faces with an exported model.",
    cls=Command,
    examples=("mfn-patch embed model-y1-arcface-0025.onnx a.jpg b.jpg",),
)
@click.argument("model", metavar="MODEL", type=_FILE)
@click.argument("images", metavar="IMAGE...", type=_FILE, nargs=-1, required=True)
@json_option
def embed(model: Path, images: tuple[Path, ...], *, as_json: bool) -> None:
    """Embed aligned faces with an exported model."""
    from mfn_patcher.export.embedding import embed_files

    runtime, embeddings = embed_files(model, images)
    if as_json:
        entries = [
            {"image": str(path), "embedding": embedding.tolist()}
            for path, embedding in zip(images, embeddings)
        ]
        print_json({"model": str(model), "runtime": runtime, "embeddings": entries})
        return
    for path, embedding in zip(images, embeddings):
        echo(f"{path}\t" + " ".join(f"{number:.6f}" for number in embedding))
