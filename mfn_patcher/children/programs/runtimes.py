"""Exported networks, run by the runtimes of their formats.

The tool embeds with these, and evaluate.py does in the training interpreter: this module needs
nothing but NumPy and the runtime of the file at hand.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]
"""Images as networks take them: images, channels (RGB), height, width; 0 to 255."""

EXTRAS = {".onnx": "onnx", ".param": "ncnn"}
"""What brings the runtime of a file, by its suffix."""

_BATCH = 16


class ModelError(Exception):
    """A file is no model that can be run here; the text says why."""


class OnnxNetwork:
    """A network in an ``.onnx`` file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load a file.

        Args:
            path: The file.
            threads: To compute with; onnxruntime's choice if None.

        Raises:
            ImportError: There is no onnxruntime.
            ModelError: It is no network with this input and output.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what it says is in the error too
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Of classes of its own, which derive from nothing but Exception.
            raise ModelError(f"is no ONNX file that can be run: {error}") from error
        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._outputs = [output.name for output in self._session.get_outputs()]
        _check_ends([item.name for item in self._session.get_inputs()], self._outputs)

    def embed(self, images: Pixels) -> Floats:
        """Return embeddings (images, length), of no particular norm."""
        parts = [
            self._run(["fc1"], images[i : i + _BATCH])[0] for i in range(0, len(images), _BATCH)
        ]
        return np.concatenate(parts)

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return all outputs, by name."""
        return dict(zip(self._outputs, self._run(self._outputs, images)))

    def _run(self, outputs: list[str], images: Pixels) -> list[Floats]:
        try:
            found: list[Floats] = self._session.run(outputs, {"data": images.astype(np.float32)})
        except Exception as error:
            raise ModelError(f"can't be run on such images: {error}") from error
        return found


class NcnnNetwork:
    """A network in a ``.param`` file and the ``.bin`` beside it, run by ncnn on the CPU.

    It computes in single precision, whatever the weights are stored in. By itself, ncnn rounds
    what is between layers to half precision where the processor has instructions for it.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load both files.

        Args:
            path: The ``.param`` file.
            threads: To compute with; ncnn's choice if None.

        Raises:
            ImportError: There is no ncnn.
            ModelError: It is no network with this input and output.
        """
        import ncnn

        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelError(f"needs {weights.name} beside it, which holds the weights")
        self._ncnn = ncnn
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        if threads:
            options.num_threads = threads
        with _standard_error() as said:
            loaded = not self._net.load_param(str(path)) and not self._net.load_model(str(weights))
        if not loaded:
            raise ModelError(
                f"is no network that ncnn can load with {weights.name}: {'; '.join(said)}"
            )
        self.name = f"ncnn {ncnn.__version__} in fp32"
        _check_ends(self._net.input_names(), self._net.output_names())

    def embed(self, images: Pixels) -> Floats:
        """Return embeddings (images, length), of no particular norm."""
        return np.stack([self._extract(image, ["fc1"])["fc1"] for image in images])

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return what is between all layers, by name."""
        names = [blob.name for blob in self._net.blobs()]
        found = [self._extract(image, names) for image in images]
        return {name: np.stack([entry[name] for entry in found]) for name in names}

    def _extract(self, image: Pixels, names: list[str]) -> dict[str, Floats]:
        pixels = np.ascontiguousarray(image, dtype=np.float32)
        found = {}
        with self._net.create_extractor() as extractor:
            # It computes each blob but once, unless it may throw away what it no longer needs.
            extractor.set_light_mode(len(names) == 1)
            # A Mat of an array has no memory of its own, and ncnn crashes over that.
            extractor.input("data", self._ncnn.Mat(pixels).clone())
            for name in names:
                status, blob = extractor.extract(name)
                if status:
                    raise ModelError(f"gives no {name} in ncnn (status {status})")
                found[name] = np.array(blob)
        return found


Network = OnnxNetwork | NcnnNetwork


def load(path: Path, threads: int | None = None) -> Network:
    """Load an exported network, of the format that the file's suffix tells.

    Raises:
        ImportError: Its runtime is missing.
        ModelError: It can't be run here.
    """
    if path.suffix not in EXTRAS:
        raise ModelError("ends neither in .onnx nor in .param, as exported models do")
    if not path.is_file():
        raise ModelError("is not there")
    return (OnnxNetwork if path.suffix == ".onnx" else NcnnNetwork)(path, threads)


def _check_ends(inputs: list[str], outputs: list[str]) -> None:
    if "fc1" not in outputs or inputs != ["data"]:
        raise ModelError(
            "is not from `mfn-patch export`: its input is not data, or its output not fc1"
        )


@contextlib.contextmanager
def _standard_error() -> Iterator[list[str]]:
    """Keep what a library writes there, where alone it says why; the lines are there afterwards."""
    sys.stderr.flush()
    lines: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            lines += said.read().decode("utf-8", "replace").splitlines()
