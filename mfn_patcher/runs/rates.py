"""True accept rates of a run's checkpoints: what eval measured, kept in the folder of the run.

The training script prints accuracies only. ``rates.jsonl`` has one JSON object per line, with the
values of a `Rate`; of several lines about the same checkpoint and set, the last one counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.typed_json import FileName, decode

FILE = "rates.jsonl"


@dataclass(frozen=True)
class Rate:
    """The true accept rate (TAR) of a checkpoint on a verification set, a mean over ten folds.

    Attributes:
        measured: when it was measured, in UTC.
        checkpoint: number of the checkpoint.
        set: name of the verification set.
        data_dir: folder of the set.
        accuracy: accuracy with flip, 0 to 1.
        target: false accept rate (FAR), 0 to 1, that the thresholds have on the other nine folds.
        far: the false accept rate that they have on the fold that is measured, 0 to 1.
        tar: the true accept rate, 0 to 1.
        std: its standard deviation over the folds.
        different: number of pairs of two people, of which the false accept rate is a share.
    """

    measured: str
    checkpoint: int
    set: str
    data_dir: FileName
    accuracy: float
    target: float
    far: float
    tar: float
    std: float
    different: int


def append(rates: Iterable[Rate], folder: Path) -> None:
    """Add rates to those in the folder of a run.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [json.dumps(dataclasses.asdict(rate), ensure_ascii=False) for rate in rates]
    with (folder / FILE).open("a", encoding="utf-8", errors="backslashreplace") as file:
        # A line that a full disk has cut short must not swallow the next one.
        file.write("".join(f"\n{line}\n" for line in lines))


def read(folder: Path) -> list[Rate]:
    """Return the rates in the folder of a run, by checkpoint; damaged lines are skipped."""
    found: dict[tuple[int, str], Rate] = {}
    with contextlib.suppress(FileNotFoundError), (folder / FILE).open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                rate: Rate = decode(json.loads(line), Rate)
                found[rate.checkpoint, rate.set] = rate
    return sorted(found.values(), key=lambda rate: rate.checkpoint)
