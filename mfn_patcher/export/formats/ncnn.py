"""Ncnn, for phones."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.children.exported import ModelFileError
from mfn_patcher.export.formats.base import EMBEDDING, Conversion, RunnableFormat, require

if TYPE_CHECKING:
    from mfn_patcher.children.exported import Floats, Network, Pixels
    from mfn_patcher.export.reference import Reference


class Ncnn(RunnableFormat):
    """A ``.param`` file and the ``.bin`` file beside it."""

    name = "ncnn"
    summary = "ncnn, on phones and elsewhere"
    suffix = ".param"
    others = (".bin",)
    extra = "ncnn"
    batched = False

    def check_installed(self) -> None:
        """Check that ncnn, its converter, and what writes the converter's input are installed."""
        from mfn_patcher.export import pnnx

        pnnx.find()
        require("onnx", "onnx")
        require("ncnn", self.extra)

    def convert(self, source: Reference, files: tuple[Path, ...], *, half: bool) -> Conversion:
        """Translate the network to ONNX, and let pnnx convert that."""
        from mfn_patcher.export import onnx_file, onnx_graph, pnnx

        def write(network: onnx_graph.Translated, path: Path) -> None:
            onnx = path.with_suffix(".onnx")
            onnx_file.write(network, onnx)
            nodes = [
                (layer.outputs[0], [value for value in layer.inputs if isinstance(value, str)])
                for layer in network.layers
            ]
            pnnx.convert(onnx, path, nodes, half=half)

        return onnx_graph.convert(source.backbone, source.shape, files[0], write)

    def load(self, path: Path, threads: int | None = None) -> Network:
        """Load a ``.param`` file and the ``.bin`` file beside it."""
        return NcnnNetwork(path, threads)


class NcnnNetwork:
    """A network in a ``.param`` file and the ``.bin`` file beside it, run by ncnn on the CPU.

    It computes in single precision, whatever type the weights are stored in. By default, ncnn
    rounds values between layers to half precision where the processor has instructions for it.
    """

    def __init__(self, path: Path, threads: int | None) -> None:
        """Load both files.

        Args:
            path: path of the ``.param`` file.
            threads: number of threads to compute with; None leaves it to ncnn.

        Raises:
            ImportError: ncnn is missing.
            ModelFileError: The files hold no network with this input and output.
        """
        import ncnn

        self._path, weights = path, path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelFileError(path, f"{weights.name}, which holds its weights, is not beside it")
        self._ncnn = ncnn
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        if threads:
            options.num_threads = threads
        with _standard_error() as said:
            loaded = not self._net.load_param(str(path)) and not self._net.load_model(str(weights))
        if not loaded:
            raise ModelFileError(
                path, f"ncnn cannot load it with {weights.name}: {'; '.join(said)}"
            )
        self.name = f"ncnn {ncnn.__version__} in fp32"
        if self._net.input_names() != ["data"] or EMBEDDING not in self._net.output_names():
            raise ModelFileError(path, "its input is not data, or its output is not fc1")

    def embed(self, images: Pixels) -> Floats:
        """Return the embeddings (images, length), which are not normalised."""
        import numpy as np

        return np.stack([self._extract(image, [EMBEDDING])[EMBEDDING] for image in images])

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return the outputs of all layers, by name."""
        import numpy as np

        names = [blob.name for blob in self._net.blobs()]
        found = [self._extract(image, names) for image in images]
        return {name: np.stack([entry[name] for entry in found]) for name in names}

    def _extract(self, image: Pixels, names: list[str]) -> dict[str, Floats]:
        import numpy as np

        pixels = np.ascontiguousarray(image, dtype=np.float32)
        found = {}
        with self._net.create_extractor() as extractor:
            # Unless in light mode, it keeps each blob, so that none is computed twice.
            extractor.set_light_mode(len(names) == 1)
            # A Mat made from an array does not own its memory, which makes ncnn crash.
            extractor.input("data", self._ncnn.Mat(pixels).clone())
            for name in names:
                status, blob = extractor.extract(name)
                if status:
                    raise ModelFileError(
                        self._path, f"ncnn cannot compute {name} (status {status})"
                    )
                found[name] = np.array(blob)
        return found


@contextlib.contextmanager
def _standard_error() -> Iterator[list[str]]:
    """Collect the lines that ncnn writes there: it gives its reasons nowhere else."""
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
