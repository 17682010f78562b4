"""Loading exported models in the tool."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.children.exported import Network
from mfn_patcher.export import formats
from mfn_patcher.export.formats.base import PackageMissingError
from mfn_patcher.remedies import install


def load(path: Path, threads: int | None = None) -> Network:
    """Load an exported model with the runtime of its format.

    Args:
        path: path of the model's file.
        threads: number of threads to compute with; None leaves it to the runtime.

    Raises:
        ModelFileError: The file holds no network that can be run.
        PackageMissingError: The runtime cannot be imported.
    """
    try:
        return formats.load(path, threads)
    except ImportError as error:
        raise PackageMissingError(
            f"cannot import the runtime of {path.suffix} files: {error}",
            remedy=f"Install it with `{install(formats.of_file(path).extra)}`.",
        ) from error
