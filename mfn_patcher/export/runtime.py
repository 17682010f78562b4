"""Runtimes of exported networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.export.images import Pixels
from mfn_patcher.export.proof import Floats

INSTALL = "Install it with `pip install 'mfn-patcher[onnx]'`."
_BATCH = 16


class RuntimeMissingError(MfnPatchError):
    """The package that runs this kind of file is missing."""


class ModelFileError(MfnPatchError):
    """A file is no model that can be run here."""


class OnnxModel:
    """A network in an ``.onnx`` file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load a file.

        Args:
            path: The file.
            threads: To compute with; onnxruntime's choice if None.

        Raises:
            RuntimeMissingError: onnxruntime can't be imported.
            ModelFileError: It is no network with an input and an output.
        """
        try:
            # Slow to import, and an extra.
            import onnxruntime  # noqa: PLC0415
        except ImportError as error:
            raise RuntimeMissingError(
                f"onnxruntime can't be imported: {error}", remedy=INSTALL
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it says is in the error too
        if threads:
            options.intra_op_num_threads = threads
        if not path.is_file():
            raise ModelFileError(
                f"there is no file {path}", remedy="`mfn-patch export --format onnx` makes one."
            )
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Of classes of its own, which derive from nothing but Exception.
            raise ModelFileError(f"{path} is no ONNX file that can be run: {error}") from error
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self.outputs = [output.name for output in self._session.get_outputs()]
        if "fc1" not in self.outputs or [i.name for i in self._session.get_inputs()] != ["data"]:
            raise ModelFileError(
                f"{path} is not from `mfn-patch export`: it has no input data or no output fc1"
            )

    def embed(self, images: Pixels) -> Floats:
        """Return embeddings (images, length), of no particular norm."""
        parts = [
            self._run(["fc1"], images[i : i + _BATCH])[0] for i in range(0, len(images), _BATCH)
        ]
        return np.concatenate(parts)

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return all outputs, by name."""
        return dict(zip(self.outputs, self._run(self.outputs, images)))

    def _run(self, outputs: list[str], images: Pixels) -> list[Floats]:
        found: list[Floats] = self._session.run(outputs, {"data": images.astype(np.float32)})
        return found
