"""ONNX, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.children.exported import ModelFileError
from mfn_patcher.export.formats.base import EMBEDDING, Conversion, RunnableFormat, require

if TYPE_CHECKING:
    from mfn_patcher.children.exported import Floats, Network, Pixels
    from mfn_patcher.export.reference import Reference

_BATCH = 16


class Onnx(RunnableFormat):
    """An ``.onnx`` file."""

    name = "onnx"
    summary = "onnxruntime and other software that reads ONNX, operator set 13"
    suffix = ".onnx"
    extra = "onnx"
    computes_half = True

    def check_installed(self) -> None:
        """Check that ONNX files can be written and run."""
        require("onnx", self.extra)
        require("onnxruntime", self.extra)

    def convert(self, source: Reference, files: tuple[Path, ...], *, half: bool) -> Conversion:
        """Translate the network and write it."""
        from mfn_patcher.export import onnx_file, onnx_graph

        def write(network: onnx_graph.Translated, path: Path) -> None:
            onnx_file.write(network, path, half=half)

        return onnx_graph.convert(source.backbone, source.shape, files[0], write)

    def load(self, path: Path, threads: int | None = None) -> Network:
        """Load a file."""
        return OnnxNetwork(path, threads)


class OnnxNetwork:
    """A network in an ``.onnx`` file, run by onnxruntime on the CPU."""

    def __init__(self, path: Path, threads: int | None) -> None:
        """Load a file.

        Args:
            path: path of the file.
            threads: number of threads to compute with; None leaves it to onnxruntime.

        Raises:
            ImportError: onnxruntime is missing.
            ModelFileError: The file holds no network with this input and output.
        """
        import onnxruntime

        self._path, self._threads = path, threads
        self._session: Any = self._start(str(path))
        self.name = f"onnxruntime {onnxruntime.__version__}"
        inputs = [item.name for item in self._session.get_inputs()]
        if inputs != ["data"] or EMBEDDING not in self._outputs(self._session):
            raise ModelFileError(path, "its input is not data, or its output is not fc1")

    def _start(self, model: str | bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # the exception has the same text
        if self._threads:
            options.intra_op_num_threads = self._threads
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's classes have no other base
            raise ModelFileError(self._path, f"not a valid ONNX file: {error}") from error

    @staticmethod
    def _outputs(session: Any) -> list[str]:
        return [output.name for output in session.get_outputs()]

    def embed(self, images: Pixels) -> Floats:
        """Return the embeddings (images, length), which are not normalised."""
        import numpy as np

        parts = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
        found = np.concatenate([self._run(self._session, [EMBEDDING], part)[0] for part in parts])
        if found.ndim != 2:  # noqa: PLR2004
            shape = " x ".join(map(str, found.shape[1:]))
            raise ModelFileError(self._path, f"its output is {shape} numbers, not an embedding")
        return found

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return the outputs of all layers, by name."""
        import onnx

        model = onnx.load(str(self._path))
        known = {output.name for output in model.graph.output}
        for node in model.graph.node:
            model.graph.output.extend(
                onnx.helper.make_empty_tensor_value_info(name)
                for name in node.output
                if name not in known
            )
        session = self._start(model.SerializeToString())
        names = [name for node in model.graph.node for name in node.output]
        return dict(zip(names, self._run(session, names, images)))

    def _run(self, session: Any, outputs: list[str], images: Pixels) -> list[Floats]:
        try:
            found: list[Floats] = session.run(outputs, {"data": images.astype("float32")})
        except Exception as error:  # see above
            why = " ".join(str(error).split())  # which names each axis on a line of its own
            raise ModelFileError(self._path, f"it does not accept such images: {why}") from error
        return found
