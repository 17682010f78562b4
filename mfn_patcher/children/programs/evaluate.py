"""Evaluate checkpoints on verification sets by upstream's own protocol.

Runs in the workspace's src folder:

    evaluate < REQUEST

REQUEST is a JSON object. "symbol" is the path of the network, or null if the checkpoint is an
exported network, which function load of module "runtime" loads. "checkpoints" lists pairs of a
number and a path, "sets" lists pairs of a name and a path, "image" is height and width, "devices"
is a number of GPUs (0 for the CPU), and "batch_size" is over all of them.

Standard output has one event per line, a JSON object. "failed" is a checkpoint that can't be
evaluated, and why; "loading" is a set; "batch" counts one; "result" has the figures of "checkpoint"
on "set"; "missing" is a package that can't be imported; "error" says why nothing can be evaluated.
What upstream prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfn_patcher.children.programs.embedders import (
    CheckpointEmbedder,
    Embedder,
    ExportedEmbedder,
    UnusableError,
    last_line,
)

FOLDS = 10  # as the training script has it


def measure(verification: Any, data_set: Any, model: Any, batch_size: int) -> dict[str, Any]:
    """Return the figures of a model on a verification set.

    Upstream's test() computes them as it does during training. What it drops is kept on the way,
    or computed by the functions that it consists of.

    Args:
        verification: upstream's module.
        data_set: the set, as upstream's load_bin() returns it.
        model: a model with `forward` and `get_outputs`.
        batch_size: number of images; test() fills up the last batch with images before it.
    """
    evaluate = verification.evaluate
    kept: list[Any] = []

    def keep(embeddings: Any, same: Any, **options: Any) -> Any:
        kept[:] = [embeddings, evaluate(embeddings, same, **options)]
        return kept[1]

    verification.evaluate = keep
    try:
        _, _, accuracy, std, xnorm, (plain, _) = verification.test(
            data_set, model, batch_size, FOLDS
        )
    finally:
        verification.evaluate = evaluate
    embeddings, (tpr, fpr, _, tar, tar_std, far) = kept

    same = np.asarray(data_set[1])
    # The thresholds of upstream's evaluate().
    thresholds = np.arange(0, 4, 0.01)
    plain = verification.sklearn.preprocessing.normalize(plain)
    _, _, plain_accuracies = verification.calculate_roc(
        thresholds, plain[0::2], plain[1::2], same, nrof_folds=FOLDS
    )
    return {
        "pairs": len(same),
        "accuracy": float(accuracy),
        "std": float(std),
        "accuracy_without_flip": float(np.mean(plain_accuracies)),
        "std_without_flip": float(np.std(plain_accuracies)),
        "threshold": float(np.mean(best_thresholds(verification, thresholds, embeddings, same))),
        "tar": float(tar),
        "tar_std": float(tar_std),
        "far": float(far),
        "xnorm": float(xnorm),
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
    }


def best_thresholds(verification: Any, thresholds: Any, embeddings: Any, same: Any) -> list[float]:
    """Return the threshold of each fold, which calculate_roc() chooses and drops.

    Args:
        verification: upstream's module.
        thresholds: the thresholds to choose from (array of float).
        embeddings: embeddings of all images, normalised (2 x pairs, length).
        same: whether each pair matches (array of bool).
    """
    distances = np.sum(np.square(np.subtract(embeddings[0::2], embeddings[1::2])), 1)
    folds = verification.LFold(n_splits=FOLDS, shuffle=False)
    best = []
    for train, _ in folds.split(np.arange(len(same))):
        accuracies = [
            verification.calculate_accuracy(threshold, distances[train], same[train])[2]
            for threshold in thresholds
        ]
        best.append(float(thresholds[np.argmax(accuracies)]))
    return best


class StopError(Exception):
    """Nothing more can be evaluated, and the reason has been told."""


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
        # Upstream's modules find one another by the search path.
        sys.path[:0] = [str(Path.cwd()), str(Path.cwd() / "eval")]
        import verification

        embedder = self._make_embedder()
        self._read_checkpoints(embedder)
        for name, path in self._request["sets"]:
            if not self._usable:
                break
            self._tell(loading=name)
            try:
                data_set = verification.load_bin(path, self._request["image"])
            except SystemExit as error:  # upstream ends so on an image that it cannot decode
                self._tell(error=str(error))
                raise StopError from error
            self._evaluate_set(verification, embedder, name, data_set)
            # It takes gigabytes, which must not be there twice while the next set is loaded.
            del data_set

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

    def _evaluate_set(
        self, verification: Any, embedder: Embedder, name: str, data_set: Any
    ) -> None:
        import mxnet as mx

        batch_size = min(self._request["batch_size"], data_set[0][0].shape[0])
        for number, parameters in list(self._usable.items()):
            embedder.use(parameters)
            try:
                figures = measure(verification, data_set, embedder, batch_size)
            except (UnusableError, mx.base.MXNetError) as error:
                self._fail(number, error)
            else:
                self._tell(checkpoint=number, set=name, result=figures)

    def _fail(self, number: int, error: Exception) -> None:
        self._usable.pop(number, None)
        self._tell(failed=[number, last_line(error)])


def main() -> None:
    """Answer the request on standard input."""
    # Layers that MXNet merges for inference, as it never does for training, can't compute
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
