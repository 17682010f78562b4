"""``mfn-patch bench``."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path

import click

from mfn_patcher.cli.bench_step import step
from mfn_patcher.cli.command import Group
from mfn_patcher.cli.options import (
    PathType,
    engine_option,
    json_option,
    print_table,
    python_option,
    workspace_option,
)
from mfn_patcher.cli.terminal import echo, print_json
from mfn_patcher.export import formats

_LOG = logging.getLogger(__name__)

_MODEL_HELP = f"""Measure the latency of exported models on this machine's CPU.

MODEL is a file written by `mfn-patch export`: {formats.suffixes()}. Each run embeds one image.
Several models are timed in turn, so that other load on the machine affects all of them alike.
"""


@click.group(cls=Group, short_help="Measure speed on this machine.")
def bench() -> None:
    """Measure speed on this machine."""


bench.add_command(step)


@bench.command(
    help=_MODEL_HELP,
    short_help="Measure the latency of exported models.",
    examples=("mfn-patch bench model model-y1-arcface-0025.onnx",),
)
@click.argument("files", metavar="MODEL...", type=PathType(dir_okay=False), nargs=-1)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 2),
    show_default=True,
    metavar="N",
    help="Number of threads; may be repeated.",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Number of runs to time.",
)
@json_option
def model(files: tuple[Path, ...], threads: tuple[int, ...], runs: int, *, as_json: bool) -> None:
    """Measure the latency of exported models on this machine's CPU."""
    from mfn_patcher.export.latency import REFERENCE, measure

    if not files:
        raise click.UsageError("name at least one MODEL, a file written by `mfn-patch export`")
    found = [entry for count in threads for entry in zip(files, measure(files, count, runs))]
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
    echo(f"For orientation: {REFERENCE}.")


@bench.command(
    short_help="Measure how fast a data set is fed to training.",
    examples=("mfn-patch bench feed datasets/faces_ms1m_112x112",),
)
@click.argument("data_dir", metavar="DIR", type=PathType(exists=True, file_okay=False))
@workspace_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    metavar="N",
    help="Images per batch.",
)
@click.option(
    "--data-workers",
    "workers",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="Decoding threads; may be repeated.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds per turn.",
)
@python_option
@engine_option
@json_option
def feed(
    data_dir: Path,
    *,
    workspace: Path,
    batch_size: int,
    workers: tuple[int, ...],
    seconds: float,
    python: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Measure how fast a data set is fed to training on this machine, and what limits it.

    DIR has the files property, train.rec and train.idx. The contenders are timed in turn: the feed
    with decoding threads, upstream's own iterator, decoding alone, with the images already in
    memory, and reading from the disk. By default, 1, 2, 4, ... decoding threads are tried, up to
    the number of cores and at most 8. No GPU is needed, and nothing is changed.
    """
    from mfn_patcher.children import interpreter
    from mfn_patcher.training import feed_speed as feeds

    counts = tuple(sorted(set(workers))) or feeds.default_workers()
    needed = 3 * seconds * (2 * len(counts) + 1)
    _LOG.info("measuring for about %.0f s, after a few to start", needed)
    rates = feeds.measure(
        workspace,
        data_dir,
        batch_size=batch_size,
        workers=counts,
        seconds=seconds,
        python=interpreter.find(python),
        environment=os.environ,
        wanted=engine,
    )
    said = feeds.verdict(rates)
    if as_json:
        print_json({**dataclasses.asdict(rates), "verdict": said})
        return
    upstream = "-" if rates.upstream is None else f"{rates.upstream:,.0f}"
    print_table(
        ("images/s", "feed", "decoding alone"),
        [
            *(
                (f"workers: {one.workers}", f"{one.feed:,.0f}", f"{one.decode:,.0f}")
                for one in rates.feeds
            ),
            ("upstream's iterator", upstream, ""),
            ("disk alone", f"{rates.disk:,.0f}", ""),
        ],
        right=" xx",
    )
    if rates.upstream_error:
        echo(f"Upstream's iterator fails: {rates.upstream_error}")
    echo(said)
    echo("A GPU waits for images only if it trains faster: compare samples/sec in a training log.")
