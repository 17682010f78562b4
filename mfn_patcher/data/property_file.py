"""The file ``property``: the number of classes and the image size of a data set."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.errors import MfnPatchError

IMAGE_SIDE = 112
"""Width and height of an image in pixels, which the networks are built for."""


class PropertyError(MfnPatchError):
    """The file ``property`` is missing, or the training script could not read it."""


@dataclass(frozen=True)
class Property:
    """The content of ``property``.

    Attributes:
        classes: number of identities, which is the width of the classification layer.
        height: height of an image, in pixels.
        width: width of an image, in pixels.
    """

    classes: int
    height: int
    width: int


def read_property(directory: Path) -> Property:
    """Read ``property``, which is one line: classes, height and width, separated by commas.

    Raises:
        PropertyError: The file is missing or has other contents; the script would also fail at
            an additional blank line.
    """
    path = directory / "property"
    remedy = "Write one line such as '85164,112,112': classes, height, width."
    try:
        content = path.read_bytes()
        if content.startswith(codecs.BOM_UTF8):
            raise ValueError("it begins with a byte order mark, on which the script fails")
        lines = content.decode("ascii").splitlines()
        if len(lines) != 1:
            raise ValueError(f"it has {len(lines)} lines, not one")
        classes, height, width = map(int, lines[0].split(","))
        if min(classes, height, width) < 1:
            raise ValueError("a number is below 1")
    except OSError as error:
        raise PropertyError(f"{path} cannot be read: {error.strerror}", remedy=remedy) from error
    except ValueError as error:
        raise PropertyError(f"{path} must be three integers: {error}", remedy=remedy) from error
    return Property(classes, height, width)


def write_property(directory: Path, classes: int) -> None:
    """Write ``property`` for images of `IMAGE_SIDE` pixels."""
    content = f"{classes},{IMAGE_SIDE},{IMAGE_SIDE}\n"
    (directory / "property").write_text(content, encoding="ascii")
