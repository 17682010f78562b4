"""Exported networks, as the tool runs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mfn_patcher.children.programs import runtimes
from mfn_patcher.children.programs.runtimes import EXTRAS, ModelError, Network
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.remedies import install


class RuntimeMissingError(MfnPatchError):
    """The package that runs this kind of file is missing."""


class ModelFileError(MfnPatchError):
    """A file is no model that can be run here."""


def load(path: Path, threads: int | None = None) -> Network:
    """Load an exported network.

    Args:
        path: An ``.onnx`` file, or a ``.param`` file with its ``.bin`` file beside it.
        threads: To compute with; the runtime's choice if None.

    Raises:
        ModelFileError: It is no such network.
        RuntimeMissingError: Its runtime can't be imported.
    """
    try:
        with running(path):
            return runtimes.load(path, threads)
    except ImportError as error:
        raise RuntimeMissingError(
            f"what runs {path.suffix} files can't be imported: {error}",
            remedy=f"Install it with `{install(EXTRAS[path.suffix])}`.",
        ) from error


@contextlib.contextmanager
def running(path: Path) -> Iterator[None]:
    """Tell of the file where its network can't be run.

    Raises:
        ModelFileError: It can't.
    """
    try:
        yield
    except ModelError as error:
        raise ModelFileError(
            f"{path} {error}", remedy="`mfn-patch export` makes models, of format onnx or ncnn."
        ) from error
