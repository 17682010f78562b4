"""The engine's side of an export: it computes the embeddings that the export must match."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.children import interpreter
from mfn_patcher.children.exported import Floats, Pixels
from mfn_patcher.engine.choice import Engine
from mfn_patcher.export import backbone
from mfn_patcher.export.backbone import Backbone
from mfn_patcher.export.errors import ExportError

_PROGRAM = "export"
# Generous: networks may be large, and machines slow and busy.
_SECONDS = 3600


@dataclass(frozen=True)
class EngineRunner:
    """An engine that computes networks on the CPU.

    Attributes:
        engine: the engine.
        environment: environment variables to start from.
    """

    engine: Engine
    environment: Mapping[str, str]

    def ask(self, request: Mapping[str, Any]) -> None:
        """Run program ``export`` of the training interpreter.

        Args:
            request: what to compute, as the program describes it.

        Raises:
            ExportError: The network is not usable.
            InterpreterError: The program failed.
        """
        variables = self.engine.environment(self.environment, "")
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        python = self.engine.interpreter.path
        answer = interpreter.ask(python, variables, _PROGRAM, json.dumps(request), seconds=_SECONDS)
        if "error" in answer:
            raise ExportError(f"cannot export {request['params']}: {answer['error']}")


@dataclass(frozen=True)
class EngineNetwork:
    """A network in MXNet's files, computed by the engine up to the embedding.

    Attributes:
        symbol: path of the symbol file.
        params: path of the parameters.
        runner: the engine.
    """

    symbol: Path
    params: Path
    runner: EngineRunner

    @property
    def name(self) -> str:
        """Name and build of the engine."""
        return self.runner.engine.title

    def embed(self, images: Pixels, *, save: tuple[Path, Path] | None = None) -> Floats:
        """Return the embeddings (images, length), which are not normalised.

        Args:
            images: the images.
            save: paths to write the symbol and the parameters to, up to the embedding.
        """
        with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
            path = Path(folder) / "embeddings.npy"
            files = {"save": list(map(str, save))} if save else {}
            self._ask(images, Path(folder), embeddings=str(path), **files)
            embeddings: Floats = np.load(path)
            return embeddings

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return the outputs of all layers, by name, in order."""
        with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
            path = Path(folder) / "layers.npz"
            self._ask(images, Path(folder), layers=str(path))
            with np.load(path) as found:
                return dict(found)

    def _ask(self, images: Pixels, folder: Path, **request: Any) -> None:
        np.save(folder / "images.npy", images)
        files = {"symbol": str(self.symbol), "params": str(self.params)}
        self.runner.ask({**files, "images": str(folder / "images.npy"), **request})


@dataclass(frozen=True)
class Reference:
    """The network of a checkpoint, and what it computes.

    Attributes:
        network: the network as the engine computes it.
        symbol: path of a file with its symbol up to the embedding.
        params: path of a file with its parameters up to the embedding.
        backbone: the contents of both.
        shape: shape of an image.
        embeddings: embeddings of the images (images, length).
    """

    network: EngineNetwork
    symbol: Path
    params: Path
    backbone: Backbone
    shape: tuple[int, ...]
    embeddings: Floats


def compute(runner: EngineRunner, model: Model, images: Pixels, folder: Path) -> Reference:
    """Let the engine compute embeddings, and save the network up to the embedding.

    Args:
        runner: the engine.
        model: a single checkpoint.
        images: images to embed.
        folder: folder to write the network to.

    Raises:
        ExportError: The checkpoint is not usable.
        InterpreterError: The program of the training interpreter failed.
    """
    (checkpoint,) = model.checkpoints.values()
    network = EngineNetwork(model.symbol, checkpoint, runner)
    symbol, params = folder / "symbol.json", folder / "params"
    embeddings = network.embed(images, save=(symbol, params))
    return Reference(
        network, symbol, params, backbone.read(symbol, params), images.shape[1:], embeddings
    )
