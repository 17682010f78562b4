"""The arguments that this package adds to ``train_softmax.py``, and which arguments may differ.

The only list of either. The tool reads it too, so nothing but the standard library is imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .precision import FP32, PRECISIONS
from .threads import default_workers

LOCAL_STORE = "device"


@dataclass(frozen=True)
class Argument:
    """An argument of the script.

    Attributes:
        option: its name on the command line, such as ``--keep``.
        help: what it does.
        kind: converts its text to a value.
        default: the value if it is not given.
        choices: the values that it takes; None for all.
    """

    option: str
    help: str
    kind: Callable[[str], Any] = str
    default: Any = None
    choices: tuple[str, ...] | None = None


ARGUMENTS = (
    Argument("--seed", "random seed for initialisation, data order and augmentation", int),
    Argument("--resume", "resume from this checkpoint of the prefix, saved with --seed", int, 0),
    Argument("--keep", "keep only the best and this many of the last checkpoints, 0: all", int, 0),
    Argument("--keep-always", "checkpoints that --keep never removes, such as 20,80", default=""),
    Argument(
        "--data-workers",
        "threads that decode images ahead of training, by default one per core, at most 8; "
        "0: decode between the steps",
        int,
        default_workers(),
    ),
    Argument("--prefetch", "batches that the threads decode ahead", int, 4),
    Argument(
        "--kvstore",
        "what sums gradients; dist_sync: over all workers; dist_device_sync: the same, after each "
        "worker's GPUs have summed theirs",
        default=LOCAL_STORE,
        choices=(LOCAL_STORE, "dist_sync", "dist_device_sync"),
    ),
    Argument(
        "--precision",
        "precision of the network; others than fp32 require the PyTorch engine",
        default=FP32,
        choices=PRECISIONS,
    ),
    Argument(
        "--compile",
        "whether the PyTorch engine compiles training steps; auto: on GPUs",
        default="auto",
        choices=("auto", "on", "off"),
    ),
    Argument("--progress", "file to which rank, step and phase are written", default=""),
)
"""What this package adds."""

MAY_CHANGE_ON_RESUME = frozenset(
    {
        "--ckpt",
        "--data-dir",
        "--data-workers",
        "--end-epoch",
        "--keep",
        "--keep-always",
        "--max-steps",
        "--prefetch",
        "--prefix",
        "--pretrained",
        "--progress",
        "--resume",
        "--target",
    }
)
"""Arguments that may change when a run is resumed.

All others decide what is computed, or which checkpoint has which number.
"""

MAY_DIFFER_BETWEEN_WORKERS = frozenset(
    {
        "--data-dir",
        "--data-workers",
        "--keep",
        "--keep-always",
        "--prefetch",
        "--prefix",
        "--pretrained",
        "--progress",
        "--target",
    }
)
"""Arguments whose values may differ between workers.

Either no result depends on them, or only the first worker uses them.
"""


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add our arguments to the script's parser, and parse the command line.

    Ends the process with status 2 if it is invalid.
    """
    for argument in ARGUMENTS:
        parser.add_argument(
            argument.option,
            type=argument.kind,
            default=argument.default,
            choices=argument.choices,
            help=argument.help,
        )
    args = parser.parse_args()
    if args.kvstore != LOCAL_STORE and args.seed is None:
        parser.error(f"--kvstore {args.kvstore} requires --seed, which gives each worker its part")
    return args


def option_of(name: str) -> str:
    """Return the option of an attribute of the parsed arguments: ``--max-steps`` of max_steps."""
    return "--" + name.replace("_", "-")


def may_change_on_resume(option: str) -> bool:
    """Return whether an option, in full or abbreviated, may change when a run is resumed."""
    return any(known.startswith(option) for known in MAY_CHANGE_ON_RESUME)


def may_differ_between_workers(option: str) -> bool:
    """Return whether an option, in full or abbreviated, may differ between workers."""
    return any(known.startswith(option) for known in MAY_DIFFER_BETWEEN_WORKERS)
