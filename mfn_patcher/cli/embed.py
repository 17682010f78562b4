"""``mfn-patch embed``."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli.options import PathType, json_option
from mfn_patcher.cli.terminal import echo, print_json

_FILE = PathType(dir_okay=False, path_type=Path)


@click.command(epilog="\b\nExample:\n  mfn-patch embed model-y1-arcface-0080.onnx a.jpg b.jpg")
@click.argument("model", metavar="MODEL", type=_FILE)
@click.argument("images", metavar="IMAGE...", type=_FILE, nargs=-1, required=True)
@json_option
def embed(model: Path, images: tuple[Path, ...], *, as_json: bool) -> None:
    """Embed aligned faces with an exported network.

    MODEL is an .onnx file, or a .param file with its .bin file beside it. Images are crops of
    112x112 pixels, aligned as the training data was. Each gives a line: its path, a tab, and the
    numbers of its embedding, scaled to length 1.
    """
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
