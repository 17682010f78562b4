"""Exported networks, as the tool and the programs of the training interpreter see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    # Slow to import, and --help reads the table of formats.
    import numpy as np
    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float32]"
Pixels: TypeAlias = "npt.NDArray[Any]"
"""Images as networks take them: images, channels (RGB), height, width; 0 to 255."""


class ModelFileError(MfnPatchError):
    """A file holds no network that can be run here.

    Attributes:
        reason: what is wrong with it, without its name.
    """

    def __init__(
        self, path: Path, reason: str, *, remedy: str = "`mfn-patch export` writes models to run."
    ) -> None:
        """Describe what is wrong.

        Args:
            path: path of the file.
            reason: what is wrong with it.
            remedy: what to do about it.
        """
        super().__init__(f"cannot run {path}: {reason}", remedy=remedy)
        self.reason = reason


class Network(Protocol):
    """A network that a runtime has loaded."""

    @property
    def name(self) -> str:
        """Name and version of the runtime."""

    def embed(self, images: Pixels) -> Floats:
        """Return the embeddings (images, length), which are not normalised.

        Raises:
            ModelFileError: The network does not accept such images.
        """

    def layers(self, images: Pixels) -> dict[str, Floats]:
        """Return the outputs of all layers, by name.

        Raises:
            ModelFileError: The network does not accept such images.
        """
