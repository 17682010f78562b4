"""``mfn-patch data``: make and check data sets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfn_patcher.cli.command import Group
from mfn_patcher.cli.options import PathType, json_option, output_option, print_findings
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.errors import ExitCode
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from mfn_patcher.data.making.data_set import MadeDataSet

_LOG = logging.getLogger(__name__)


@click.group(cls=Group, short_help="Make, check and show data sets.")
def data() -> None:
    """Make a data set from your own faces or synthetic ones, and check or show a data set."""


@data.command(
    short_help="Write a small synthetic data set.",
    examples=("mfn-patch data synth data/synthetic --identities 10 --seed 1",),
)
@click.argument("directory", metavar="DIR", type=PathType())
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
    verification sets lfw.bin, cfp_fp.bin and agedb_30.bin. Its faces are synthetic, so it shows
    that training works but says nothing about real faces. Existing files in DIR are not
    overwritten.
    """
    from mfn_patcher.data.synth import IMAGE_BYTES, count_images, synthesise

    total = count_images(identities, images_per_identity, pairs)
    _LOG.info("drawing %s images, about %s MB", f"{total:,}", f"{total * IMAGE_BYTES / 1e6:,.1f}")
    with task("drawing faces", total) as drawing:
        written = synthesise(
            directory,
            identities=identities,
            images_per_identity=images_per_identity,
            pairs=pairs,
            seed=seed,
            on_image=drawing.advance,
        )
    echo(
        f"Wrote {written.images} images of {written.identities} identities, and "
        f"{written.pairs} pairs per verification set, to {directory}:"
    )
    for file in written.files:
        echo(f"  {file.name:<12} {file.stat().st_size:>12,} bytes")


@data.command(
    short_help="Make a data set from your own faces.",
    examples=("mfn-patch data make data/own faces --pairs 600",),
)
@click.argument("directory", metavar="OUT", type=PathType())
@click.argument("source", type=PathType())
@click.option(
    "--pairs",
    multiple=True,
    metavar="FILE|N",
    help="Verification set: a pair list, or N random pairs. Repeatable.",
)
@click.option("--resize", is_flag=True, help="Scale square images of another size to 112x112.")
@json_option
def make(
    directory: Path, source: Path, *, pairs: tuple[str, ...], resize: bool, as_json: bool
) -> None:
    """Make a data set in OUT from the aligned 112x112 faces in SOURCE.

    SOURCE is a folder with one folder per identity, or a list file with a path and an identity per
    line. JPEG and PNG files are copied; other formats are converted to PNG. Unreadable files,
    nested folders, duplicates and files of another size are left out and listed in
    OUT/left-out.tsv. Faces are not aligned.

    People in verification pairs are left out of training. A pair list becomes a set of the same
    name; N randomly drawn pairs become own.bin. Existing files are not overwritten.
    """
    from mfn_patcher.data.making.data_set import Request, make

    with task("checking and packing images") as packing:
        made = make(directory, Request(source, pairs, resize), on_progress=packing.reach)
    if as_json:
        print_json(made.as_json())
    else:
        _print_made(made)


def _print_made(made: MadeDataSet) -> None:
    from mfn_patcher.data.making.data_set import LEFT_OUT

    echo(f"Wrote {made.images:,} images of {made.identities:,} identities to {made.directory}:")
    for file in made.files:
        echo(f"  {file.name:<16} {file.stat().st_size:>14,} bytes")
    for name, written in made.verification_sets.items():
        echo(f"{name}.bin has {written.pairs:,} pairs, {written.same:,} of the same person.")
    if made.held_out:
        echo(f"Identities held out for verification: {made.held_out:,}.")
    if made.left_out:
        reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in made.left_out.items())
        echo(f"Left out: {reasons}. {made.directory / LEFT_OUT} lists them.")
    if made.contradictions:
        echo(f"Duplicates whose copies belong to different identities: {made.contradictions:,}.")
    if made.empty:
        echo(f"Identities without a usable image: {made.empty:,}.")
    print_findings(made.findings)


@data.command(
    short_help="Check a data set before training on it.",
    examples=("mfn-patch data check data/faces_ms1m_112x112",),
)
@click.argument("directory", metavar="DIR", type=PathType())
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


@data.command(
    short_help="Draw a contact sheet of a data set.",
    examples=("mfn-patch data show data/own -o sheet.png",),
)
@click.argument("directory", metavar="DIR", type=PathType())
@output_option("PNG file to write.  [default: ./DIR.png]", suffixes=(".png",))
def show(directory: Path, output: Path | None, *, overwrite: bool) -> None:
    """Draw a contact sheet of the data set in DIR.

    The sheet shows up to 8 images of 8 identities, and 8 pairs of each kind from every verification
    set, with their labels.
    """
    from mfn_patcher.data.contact_sheet import choose, draw
    from mfn_patcher.files import require_new

    output = output or Path(f"{directory.resolve().name}.png")
    require_new(output, overwrite=overwrite)
    with task("reading the data set"):
        rows = choose(directory)
    with task("drawing the sheet"):
        draw(rows, output)
    echo(output)
