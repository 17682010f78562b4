"""``mfn-patch bench``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from mfn_patcher.cli.options import json_option, print_json, print_table


@click.group()
def bench() -> None:
    """Measure speed on this machine."""


@bench.command(epilog="\b\nExample:\n  mfn-patch bench model model-y1-arcface-0080.onnx")
@click.argument(
    "files", metavar="MODEL.onnx...", type=click.Path(dir_okay=False, path_type=Path), nargs=-1
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 2),
    show_default=True,
    metavar="N",
    help="Threads to compute with; may be repeated.",
)
@click.option(
    "--runs", type=click.IntRange(min=1), default=50, show_default=True, help="Images to time."
)
@json_option
def model(files: tuple[Path, ...], threads: tuple[int, ...], runs: int, *, as_json: bool) -> None:
    """Time exported networks on this machine's CPU, one image at a time.

    Several files are timed in one run, for what else the machine does spoils a comparison of two.
    """
    from mfn_patcher.export.latency import REFERENCE, measure

    if not files:
        raise click.UsageError("name at least one MODEL.onnx")
    found = [(path, measure(path, count, runs)) for path in files for count in threads]
    if as_json:
        results = [{"model": str(path), **dataclasses.asdict(taken)} for path, taken in found]
        print_json({"results": results, "reference": REFERENCE})
        return
    rows = [
        (
            path.name,
            taken.runtime,
            str(taken.threads),
            f"{taken.median:.2f}",
            f"{taken.fastest:.2f}",
        )
        for path, taken in found
    ]
    print_table(("model", "runtime", "threads", "median, ms", "fastest, ms"), rows, right="  xxx")
    click.echo(f"For orientation: {REFERENCE}, which is another machine.")
