"""``mfn-patch data``: make and check data sets."""

from __future__ import annotations

from pathlib import Path

import click

from mfn_patcher.cli.options import PathType, json_option, print_findings, report
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.errors import ExitCode


@click.group()
def data() -> None:
    """Make a synthetic data set, or check one before training on it."""


@data.command(epilog="\b\nExample:\n  mfn-patch data synth data/synthetic --identities 10 --seed 1")
@click.argument("directory", metavar="DIR", type=PathType(path_type=Path))
@click.option("--identities", default=20, show_default=True, help="Identities to train with.")
@click.option("--images-per-identity", default=20, show_default=True, help="Images of each.")
@click.option("--pairs", default=20, show_default=True, help="Pairs in each verification set.")
@click.option("--seed", default=0, show_default=True, help="Decides all faces.")
def synth(
    directory: Path, *, identities: int, images_per_identity: int, pairs: int, seed: int
) -> None:
    """Write a small synthetic data set to DIR.

    It has the layout of the published ones: train.rec, train.idx, property, and the
    verification sets lfw.bin, cfp_fp.bin and agedb_30.bin. Its faces are drawn: it is for trying
    the way of training, and says nothing about real faces. Nothing in DIR is overwritten.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mfn_patcher.data.synth import IMAGE_BYTES, count_images, synthesise

    total = count_images(identities, images_per_identity, pairs)
    report(f"drawing {total:,} images, about {total * IMAGE_BYTES / 1e6:,.1f} MB")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Drawing faces", total=total)
        written = synthesise(
            directory,
            identities=identities,
            images_per_identity=images_per_identity,
            pairs=pairs,
            seed=seed,
            on_image=lambda: progress.advance(task),
        )
    echo(
        f"Wrote {written.images} images of {written.identities} identities, and "
        f"{written.pairs} pairs in each verification set, to {directory}:"
    )
    for file in written.files:
        echo(f"  {file.name:<12} {file.stat().st_size:>12,} bytes")


@data.command(epilog="\b\nExample:\n  mfn-patch data check data/faces_ms1m_112x112")
@click.argument("directory", metavar="DIR", type=PathType(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, directory: Path, *, as_json: bool) -> None:
    """Check the data set in DIR, in seconds.

    Files, index, identities, a sample of images, and the verification sets are compared with
    what the training script reads. Nothing in a .bin file is run. The exit code is 4 if there
    is an error; a warning leaves it 0.
    """
    from mfn_patcher.data.check import check as check_data_set

    report = check_data_set(directory)
    if as_json:
        print_json(report.as_json())
    else:
        print_findings(report.findings)
    if not report.ok:
        context.exit(ExitCode.VERIFICATION)
