"""What computes embeddings: checkpoints on the engine, and exported networks on their runtimes.

Upstream's test() asks of a model just `forward` and `get_outputs`. Whatever offers these two can be
measured by the same protocol.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mfn_patcher.children.exported import ModelFileError, Network

Parameters = dict[str, dict[str, Any]]
"""Arrays by kind, ``arg`` or ``aux``, and by name."""


class UnusableError(Exception):
    """A checkpoint, an exported network, or the symbol of all checkpoints is not usable."""


class Embedder(Protocol):
    """Computes embeddings with one of several sets of parameters."""

    def read(self, path: str) -> Any:
        """Return the parameters in a file.

        Raises:
            UnusableError: They are missing or do not fit.
            ImportError: The package that reads them is missing.
        """

    def use(self, parameters: Any) -> None:
        """Use these parameters, which `read` returned, from now on."""

    def forward(self, batch: Any, is_train: bool) -> None:
        """Start embedding a batch."""

    def get_outputs(self) -> list[Any]:
        """Return a list with only the embeddings of the batch.

        Raises:
            UnusableError: They are not finite.
        """


class CheckpointEmbedder:
    """The network of checkpoints up to the embedding, computed by the engine."""

    def __init__(
        self,
        symbol: str | os.PathLike[str],
        contexts: Sequence[Any],
        shape: tuple[int, ...],
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind the embedding of a symbol.

        Args:
            symbol: path of the symbol file.
            contexts: devices that share a batch.
            shape: shape of a batch: images, channels, height, width.
            on_batch: called after each batch.

        Raises:
            UnusableError: The symbol has no embedding, or is damaged.
        """
        import mxnet as mx

        try:
            layers = mx.sym.load(os.fspath(symbol)).get_internals()
            if "fc1_output" not in layers.list_outputs():
                raise UnusableError("it has no output fc1, which is the embedding")
            self._module = mx.mod.Module(layers["fc1_output"], context=contexts, label_names=None)
            self._module.bind(data_shapes=[("data", shape)], for_training=False)
        except (ValueError, mx.base.MXNetError) as error:
            raise UnusableError(last_line(error)) from error
        self._on_batch = on_batch

    @property
    def symbol(self) -> Any:
        """Symbol of the network."""
        return self._module.symbol

    def read(self, path: str) -> Parameters:
        """Return the parameters of a checkpoint up to the embedding.

        Raises:
            UnusableError: They are missing or do not fit.
        """
        import mxnet as mx

        try:
            with Path(path).open("rb"):
                saved = mx.nd.load(path)
        except OSError as error:
            raise UnusableError(f"it cannot be read: {error.strerror}") from error
        except mx.base.MXNetError as error:
            raise UnusableError(
                f"it is truncated or not a checkpoint: {last_line(error)}"
            ) from error
        if not isinstance(saved, dict):
            raise UnusableError("it is truncated or not a checkpoint: it names no parameters")
        return {
            kind: {name: _fitting(saved, kind, name, shape) for name, shape in shapes.items()}
            for kind, shapes in self._shapes().items()
        }

    def _shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        inputs = {desc.name: desc.shape for desc in self._module.data_shapes}
        arguments, _, states = self.symbol.infer_shape(**inputs)
        if arguments is None:
            raise UnusableError("the network does not determine the shape of a parameter")
        named = dict(zip(self.symbol.list_arguments(), arguments))
        return {
            "arg": {name: shape for name, shape in named.items() if name not in inputs},
            "aux": dict(zip(self.symbol.list_auxiliary_states(), states)),
        }

    def use(self, parameters: Parameters) -> None:
        """Use these parameters from now on."""
        self._module.set_params(parameters["arg"], parameters["aux"])

    def forward(self, batch: Any, is_train: bool) -> None:
        """Start embedding a batch; the layers that need its label are not part of this network."""
        import mxnet as mx

        self._module.forward(mx.io.DataBatch(batch.data), is_train=is_train)

    def get_outputs(self) -> list[Any]:
        """Return a list with only the embeddings of the batch.

        Raises:
            UnusableError: They are not finite.
        """
        outputs: list[Any] = self._module.get_outputs()
        _check_finite(outputs[0].asnumpy())
        self._on_batch()
        return outputs


def _fitting(saved: Mapping[str, Any], kind: str, name: str, shape: tuple[int, ...]) -> Any:
    array = saved.get(f"{kind}:{name}")
    if array is None:
        raise UnusableError(f"it has no {name}, which the network needs")
    if array.shape != shape:
        raise UnusableError(f"its {name} has shape {array.shape}, the network's has {shape}")
    # Module also converts numbers of another type, but exporters do not.
    return array.astype("float32")


class ExportedEmbedder:
    """An exported network, computed by its own runtime on the CPU."""

    def __init__(self, load: Callable[[Path], Network], on_batch: Callable[[], None]) -> None:
        """Prepare to load networks.

        Args:
            load: loads the network in a file.
            on_batch: called after each batch.
        """
        self._load, self._on_batch = load, on_batch

    def read(self, path: str) -> Network:
        """Return the network in a file.

        Raises:
            UnusableError: The file holds none.
            ImportError: The runtime is missing.
        """
        try:
            return self._load(Path(path))
        except ModelFileError as error:
            raise UnusableError(error.reason) from error

    def use(self, parameters: Network) -> None:
        """Use this network from now on."""
        self._network = parameters

    def forward(self, batch: Any, is_train: bool) -> None:
        """Embed a batch.

        Raises:
            UnusableError: The network does not accept such images.
        """
        try:
            self._embeddings = self._network.embed(batch.data[0].asnumpy())
        except ModelFileError as error:
            raise UnusableError(error.reason) from error

    def get_outputs(self) -> list[Any]:
        """Return a list with only the embeddings of the batch.

        Raises:
            UnusableError: They are not finite.
        """
        import mxnet as mx

        _check_finite(self._embeddings)
        self._on_batch()
        return [mx.nd.array(self._embeddings)]


def _check_finite(embeddings: Any) -> None:
    if not np.isfinite(embeddings).all():
        raise UnusableError("its embeddings contain NaN or Inf: training diverged")


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text, because MXNet's begins with a traceback."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
