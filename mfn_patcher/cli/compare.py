"""``mfn-patch compare``."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import PathType, json_option
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.export import formats

_LOG = logging.getLogger(__name__)
_FILE = PathType(dir_okay=False)
_HELP = f"""Compare two aligned faces with an exported model.

MODEL is a file written by `mfn-patch export`: {formats.suffixes()}. A and B are crops of 112x112
pixels, aligned like the training data. Prints the cosine of their embeddings, from -1 to 1; the
higher it is, the more likely both show the same person. The threshold depends on the network:
`mfn-patch eval` measures it.
"""


@click.command(
    help=_HELP,
    short_help="Compare two aligned faces with an exported model.",
    cls=Command,
    examples=("mfn-patch compare model-y1-arcface-0025.onnx a.jpg b.jpg",),
)
@click.argument("model", metavar="MODEL", type=_FILE)
@click.argument("a", metavar="A", type=_FILE)
@click.argument("b", metavar="B", type=_FILE)
@json_option
def compare(model: Path, a: Path, b: Path, *, as_json: bool) -> None:
    """Compare two aligned faces with an exported model."""
    from mfn_patcher.export.embedding import embed_files

    runtime, (one, other) = embed_files(model, (a, b))
    cosine = float(one @ other)
    if as_json:
        images = [str(a), str(b)]
        print_json({"model": str(model), "runtime": runtime, "images": images, "cosine": cosine})
        return
    _LOG.info(
        "the same person if above the cosine threshold that `mfn-patch eval --model %s` prints",
        shlex.quote(str(model)),
    )
    echo(f"{cosine:.6f}")
