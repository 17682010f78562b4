"""How fast a data set can be fed to training on this machine, and what bounds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.children import interpreter
from mfn_patcher.data.property_file import read_property
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.trainer.mfn_trainer import threads

_PROGRAM = "feed"
_MEMORY = Path("/proc/meminfo")
_ROUNDS = 3
# Relative to what the same threads decode when they do nothing else; the rest is handing over
# batches.
_MOSTLY_DECODING = 0.5


class FeedError(MfnPatchError):
    """The feed of a data set cannot be measured."""


@dataclass(frozen=True)
class FeedRate:
    """Rates with a number of threads, in images per second.

    Attributes:
        workers: number of threads, as in the script's ``--data-workers``.
        feed: rate of the feed.
        decode: rate of the same threads when they only decode.
    """

    workers: int
    feed: float
    decode: float


@dataclass(frozen=True)
class FeedRates:
    """Measured rates, in images per second.

    Attributes:
        feeds: rates of the feed, for each number of threads.
        upstream: rate of upstream's own iterator; None if it fails on this data set.
        upstream_error: its error; None if it works.
        disk: rate of reading alone, at random offsets, with the most threads of `feeds`. The
            system was asked to drop these records from its cache, which not every file system does.
        image_bytes: mean size of a record.
        cores: number of cores that the threads may use.
        file_bytes: size of the record file.
        memory_bytes: memory that the system could provide.
    """

    feeds: tuple[FeedRate, ...]
    upstream: float | None
    upstream_error: str | None
    disk: float
    image_bytes: float
    cores: int
    file_bytes: int
    memory_bytes: int

    @property
    def fastest(self) -> float:
        """The rate of the feed with the best number of threads."""
        return max(each.feed for each in self.feeds)


def default_workers() -> tuple[int, ...]:
    """Return the numbers of threads to try: 1, 2, 4 and so on, up to the script's default."""
    most = threads.default_workers()
    return tuple(sorted({most, *(1 << power for power in range(most.bit_length()))} - {0}))


def measure(
    workspace: Path,
    data_dir: Path,
    *,
    batch_size: int,
    workers: Sequence[int],
    seconds: float,
    python: str,
    environment: Mapping[str, str],
    wanted: str = AUTO,
) -> FeedRates:
    """Measure all contenders in turn, in one child process.

    Args:
        workspace: the patched clone.
        data_dir: folder with ``property``, ``train.rec`` and ``train.idx``.
        batch_size: images per batch.
        workers: numbers of threads to try.
        seconds: length of a turn; every contender has three.
        python: the training interpreter.
        environment: the variables to start from.
        wanted: the engine that the user asks for.

    Raises:
        FeedError: code or data are missing or unsuitable.
        PropertyError: ``property`` is missing or unsuitable.
        InterpreterError: no engine can compute in the interpreter.
    """
    source = workspace.resolve() / "src"
    if not (source / "image_iter.py").is_file():
        raise FeedError(
            f"there is no {source / 'image_iter.py'}",
            remedy="Run `mfn-patch apply`, or name the workspace with --workspace.",
        )
    records = data_dir.resolve() / "train.rec"
    for path in (records, records.with_suffix(".idx")):
        if not path.is_file():
            raise FeedError(
                f"{path} does not exist",
                remedy=f"For details, run `mfn-patch data check {data_dir}`.",
            )
    size = read_property(data_dir)
    engine = choice.choose(wanted, python, environment, "")
    variables = engine.environment(environment, "")
    if "OMP_NUM_THREADS" not in environment:
        # Only training on a GPU waits for images, and it leaves this setting to MXNet.
        del variables["OMP_NUM_THREADS"]
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    request = {
        "source": str(source),
        "records": str(records),
        "image": [size.height, size.width],
        "batch_size": batch_size,
        "workers": list(workers),
        "seconds": seconds,
        "rounds": _ROUNDS,
    }
    # In addition to the turns, each iterator reads the index, which takes a while if it is large.
    timeout = 120 + 60 * len(workers) + 4 * _ROUNDS * seconds * len(workers)
    answer = interpreter.ask(python, variables, _PROGRAM, json.dumps(request), seconds=timeout)
    if "error" in answer:
        raise FeedError(
            f"cannot feed {records}: {answer['error']}",
            remedy=f"For details, run `mfn-patch data check {data_dir}`.",
        )
    return FeedRates(
        tuple(FeedRate(**feed) for feed in answer["feeds"]),
        answer["upstream"],
        answer["upstream_error"],
        answer["disk"],
        answer["image_bytes"],
        answer["cores"],
        records.stat().st_size,
        available_memory(),
    )


def available_memory(path: Path = _MEMORY) -> int:
    """Return the memory that the system could provide without swapping, in bytes; 0 if unknown."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else 0


def verdict(rates: FeedRates) -> str:
    """Return a sentence on what limits the feed, and what would make it faster."""
    # Threads beyond the number of cores only share them, so they do not count.
    within = [feed for feed in rates.feeds if feed.workers <= rates.cores] or rates.feeds[:1]
    last = max(within, key=lambda feed: feed.workers)
    each = last.feed / last.workers
    if rates.disk < last.decode and rates.file_bytes > rates.memory_bytes:
        return (
            f"disk-bound: the disk reads {rates.disk:,.0f} images/s "
            f"({rates.disk * rates.image_bytes / 1e6:,.0f} MB/s) at random offsets, while "
            f"{last.workers} workers could decode {last.decode:,.0f}, and the file does not fit in "
            "memory. A faster disk or more memory would help."
        )
    if last.feed < _MOSTLY_DECODING * last.decode:
        return (
            f"bound by handing over batches: {last.workers} workers could decode "
            f"{last.decode:,.0f} images/s, more than Python hands over. More workers help little."
        )
    if last.workers < rates.cores:
        more = min(last.workers, rates.cores - last.workers)
        return (
            f"decode-bound: {last.workers + more} workers would feed about "
            f"{each * (last.workers + more):,.0f} images/s."
        )
    return (
        f"decode-bound on all cores: each additional core would feed about {each:,.0f} images/s "
        "more."
    )
