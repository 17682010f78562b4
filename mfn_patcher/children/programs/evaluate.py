"""Evaluate checkpoints on verification sets by the protocol of the training script.

    evaluate < REQUEST

REQUEST is a JSON object. "symbol" is the path of the network, or null if the checkpoint is an
exported network, which function load of module "runtime" loads. "checkpoints" lists pairs of a
number and a path, "sets" lists pairs of a name and a path, "image" is height and width, "devices"
is a number of GPUs (0 for the CPU), and "batch_size" is over all of them.

Standard output has one event per line, a JSON object. "failed" is a checkpoint that cannot be
evaluated, and why; "loading" is a set; "batch" counts one; "result" has the figures of "checkpoint"
on "set"; "missing" is a package that cannot be imported; "error" says why nothing can be evaluated.
Whatever else is printed goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mfn_patcher.children.programs.embedders import (
    CheckpointEmbedder,
    Embedder,
    ExportedEmbedder,
    UnusableError,
    last_line,
)

if TYPE_CHECKING:
    from mfn_patcher.trainer.mfn_trainer.verification import VerificationSet


def measure(pairs: VerificationSet, model: Any, batch_size: int) -> dict[str, Any]:
    """Return the figures of a model on a verification set.

    Args:
        pairs: the set.
        model: a model with `forward` and `get_outputs`.
        batch_size: number of images; the last batch is filled up with images before it.
    """
    # Modules that import MXNet are imported only after `main` has set its environment variables.
    from sklearn.preprocessing import normalize

    from mfn_patcher.trainer.mfn_trainer import protocol, verification

    result = verification.test(pairs, model, batch_size, protocol.FOLDS)
    plain, mirrored = result.embeddings
    curve, rate = protocol.measure(normalize(plain + mirrored), pairs.same)
    without_flip = protocol.measure_curve(normalize(plain), pairs.same)
    return {
        "pairs": len(pairs.same),
        "different": len(pairs.same) - sum(map(bool, pairs.same)),
        "accuracy": result.accuracy,
        "std": result.std,
        "accuracy_without_flip": float(np.mean(without_flip.accuracies)),
        "std_without_flip": float(np.std(without_flip.accuracies)),
        "threshold": float(np.mean(curve.thresholds)),
        "threshold_without_flip": float(np.mean(without_flip.thresholds)),
        "tar": rate.tar,
        "tar_std": rate.std,
        "far": rate.far,
        "xnorm": result.xnorm,
        "roc": {"fpr": curve.fpr.tolist(), "tpr": curve.tpr.tolist()},
    }


class StopError(Exception):
    """Nothing more can be evaluated, and the reason has been reported."""


class Evaluation:
    """One request, and what is left of its checkpoints."""

    def __init__(self, request: Mapping[str, Any], tell: Callable[..., None]) -> None:
        """Take a request.

        Args:
            request: the request.
            tell: called with each event.
        """
        self._request, self._tell = request, tell
        self._usable: dict[int, Any] = {}

    def run(self) -> None:
        """Evaluate every checkpoint on every set, reading each checkpoint and each set once.

        Raises:
            StopError: That is not possible.
        """
        from mfn_patcher.trainer.mfn_trainer import verification

        embedder = self._make_embedder()
        self._read_checkpoints(embedder)
        for name, path in self._request["sets"]:
            if not self._usable:
                break
            self._tell(loading=name)
            try:
                pairs = verification.load(path, self._request["image"])
            except SystemExit as error:  # this ends training, for instance on a damaged image
                self._tell(error=str(error))
                raise StopError from error
            self._evaluate_set(embedder, pairs)
            # It takes gigabytes, so it must be freed before the next set is loaded.
            del pairs

    def _make_embedder(self) -> Embedder:
        import mxnet as mx

        request = self._request

        def on_batch() -> None:
            self._tell(batch=1)

        if request["symbol"] is None:
            runtime = importlib.import_module(request["runtime"])
            return ExportedEmbedder(runtime.load, on_batch)
        contexts = [mx.gpu(index) for index in range(request["devices"])] or [mx.cpu()]
        shape = (request["batch_size"], 3, *request["image"])
        try:
            return CheckpointEmbedder(request["symbol"], contexts, shape, on_batch)
        except UnusableError as error:
            self._tell(error=f"cannot evaluate {request['symbol']}: {error}")
            raise StopError from error

    def _read_checkpoints(self, embedder: Embedder) -> None:
        for number, path in self._request["checkpoints"]:
            try:
                self._usable[number] = embedder.read(path)
            except UnusableError as error:
                self._fail(number, error)
            except ImportError as error:
                self._tell(missing=str(error))
                raise StopError from error

    def _evaluate_set(self, embedder: Embedder, pairs: VerificationSet) -> None:
        import mxnet as mx

        batch_size = min(self._request["batch_size"], pairs.images[0].shape[0])
        for number, parameters in list(self._usable.items()):
            embedder.use(parameters)
            try:
                figures = measure(pairs, embedder, batch_size)
            except (UnusableError, mx.base.MXNetError) as error:
                self._fail(number, error)
            else:
                self._tell(checkpoint=number, set=pairs.name, result=figures)

    def _fail(self, number: int, error: Exception) -> None:
        self._usable.pop(number, None)
        self._tell(failed=[number, last_line(error)])


def main() -> None:
    """Answer the request on standard input."""
    # Layers that MXNet merges for inference, as it never does for training, cannot compute
    # MobileFaceNet on the CPU: "We can't generate TBlob for MKLDNN data".
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    request = json.load(sys.stdin)
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    with contextlib.suppress(StopError):
        Evaluation(request, tell).run()
