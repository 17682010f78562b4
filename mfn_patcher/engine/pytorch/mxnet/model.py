"""Reading and writing checkpoints, and what callbacks get."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import ndarray, symbol
from .base import MXNetError, out_of_scope
from .metric import EvalMetric
from .ndarray import NDArray
from .symbol import Symbol

__getattr__ = out_of_scope("mxnet.model")

Parameters = dict[str, NDArray]


class BatchEndParam(NamedTuple):
    """The argument of callbacks at the end of a batch.

    Attributes:
        epoch: number of the epoch.
        nbatch: number of the batch in the epoch.
        eval_metric: the metrics so far.
        locals: ``end_of_batch`` is whether the batch is the last of the epoch.
    """

    epoch: int
    nbatch: int
    eval_metric: EvalMetric
    locals: dict[str, Any]


def load_checkpoint(prefix: str, epoch: int) -> tuple[Symbol, Parameters, Parameters]:
    """Read a checkpoint.

    Args:
        prefix: path prefix of the checkpoint's files.
        epoch: number of the checkpoint.

    Returns:
        The symbol, and the arguments and states by name.

    Raises:
        MXNetError: A file is missing or damaged.
    """
    network = symbol.load(f"{prefix}-symbol.json")
    path = f"{prefix}-{epoch:04d}.params"
    saved = ndarray.load(path)
    if not isinstance(saved, dict):
        raise MXNetError(f"{path} names no parameters")
    kinds: dict[str, Parameters] = {"arg": {}, "aux": {}}
    for key, value in saved.items():
        kind, _, name = key.partition(":")
        if kind in kinds:
            kinds[kind][name] = value
    return network, kinds["arg"], kinds["aux"]


def save_checkpoint(
    prefix: str, epoch: int, symbol: Symbol, arg_params: Parameters, aux_params: Parameters
) -> None:
    """Write a checkpoint; see :func:`load_checkpoint`."""
    symbol.save(f"{prefix}-symbol.json")
    arrays = {f"arg:{name}": value for name, value in arg_params.items()}
    arrays |= {f"aux:{name}": value for name, value in aux_params.items()}
    ndarray.save(f"{prefix}-{epoch:04d}.params", arrays)
