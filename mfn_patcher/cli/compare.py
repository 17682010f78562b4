"""``mfn-patch compare``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli.options import PathType, json_option
from mfn_patcher.cli.terminal import echo, print_json

_FILE = PathType(dir_okay=False, path_type=Path)


@click.command(epilog="\b\nExample:\n  mfn-patch compare model-y1-arcface-0080.onnx a.jpg b.jpg")
@click.argument("model", metavar="MODEL", type=_FILE)
@click.argument("a", metavar="A", type=_FILE)
@click.argument("b", metavar="B", type=_FILE)
@json_option
def compare(model: Path, a: Path, b: Path, *, as_json: bool) -> None:
    """Tell how alike two aligned faces are to an exported network.

    MODEL is an .onnx file, or a .param file with its .bin file beside it; A and B are crops of
    112x112 pixels, aligned as the training data was. Prints the cosine of their embeddings, -1 to
    1: the higher, the likelier they are of one person. Where to draw the line depends on the
    network; eval finds its threshold, a squared distance d, which is a cosine of 1 - d/2.
    """
    from mfn_patcher.export.embedding import embed_files

    runtime, (one, other) = embed_files(model, (a, b))
    cosine = float(one @ other)
    if as_json:
        images = [str(a), str(b)]
        print_json({"model": str(model), "runtime": runtime, "images": images, "cosine": cosine})
        return
    echo(f"{cosine:.6f}")
