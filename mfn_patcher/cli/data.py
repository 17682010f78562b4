"""``mfn-patch data``: make and check data sets."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from mfn_patcher.cli.options import PathType, json_option, print_findings
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.errors import ExitCode

_LOG = logging.getLogger(__name__)


@click.group(short_help="Make a synthetic data set, or check a data set.")
def data() -> None:
    """Make a synthetic data set, or check a data set before training on it."""


@data.command(
    short_help="Write a small synthetic data set.",
    epilog="\b\nExample:\n  mfn-patch data synth data/synthetic --identities 10 --seed 1",
)
@click.argument("directory", metavar="DIR", type=PathType(path_type=Path))
@click.option("--identities", default=20, show_default=True, help="Number of training identities.")
@click.option(
    "--images-per-identity", default=20, show_default=True, help="Training images per identity."
)
@click.option("--pairs", default=20, show_default=True, help="Pairs per verification set.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
def synth(
    directory: Path, *, identities: int, images_per_identity: int, pairs: int, seed: int
) -> None:
    """Write a small synthetic data set to DIR.

    It has the layout of the published data sets: train.rec, train.idx, property, and the
    verification sets lfw.bin, cfp_fp.bin and agedb_30.bin. Its faces are drawn, so it shows that
    training works but says nothing about real faces. Existing files in DIR are not overwritten.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mfn_patcher.data.synth import IMAGE_BYTES, count_images, synthesise

    total = count_images(identities, images_per_identity, pairs)
    _LOG.info("drawing %s images, about %s MB", f"{total:,}", f"{total * IMAGE_BYTES / 1e6:,.1f}")
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
        f"{written.pairs} pairs per verification set, to {directory}:"
    )
    for file in written.files:
        echo(f"  {file.name:<12} {file.stat().st_size:>12,} bytes")


@data.command(
    short_help="Check a data set before training on it.",
    epilog="\b\nExample:\n  mfn-patch data check data/faces_ms1m_112x112",
)
@click.argument("directory", metavar="DIR", type=PathType(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, directory: Path, *, as_json: bool) -> None:
    """Check the data set in DIR; this takes seconds.

    The check covers the files, the index, the identities, a sample of the images, and the
    verification sets, as the training script reads them. No code in a .bin file is run. The exit
    code is 4 if there is an error; warnings do not change it.
    """
    from mfn_patcher.data.check import check as check_data_set

    result = check_data_set(directory)
    if as_json:
        print_json(result.as_json())
    else:
        print_findings(result.findings)
    if not result.ok:
        context.exit(ExitCode.VERIFICATION)
