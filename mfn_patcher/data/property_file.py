"""The file ``property``: number of classes and image size of a data set."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.errors import MfnPatchError

IMAGE_SIDE = 112
"""Width and height of an image, in pixels: the network is made for these."""


class PropertyError(MfnPatchError):
    """The file ``property`` is missing or isn't what the training script can read."""


@dataclass(frozen=True)
class Property:
    """What ``property`` says.

    Attributes:
        classes: Number of identities, which is the width of the classification layer.
        height: Of an image, in pixels.
        width: Of an image, in pixels.
    """

    classes: int
    height: int
    width: int


def read_property(directory: Path) -> Property:
    """Read ``property``, which is one line: classes, height and width, with commas between.

    Raises:
        PropertyError: The file is missing, or differs from that; the script would stop at a
            blank line too.
    """
    path = directory / "property"
    remedy = "Make it one line such as '85164,112,112': classes, height, width."
    try:
        content = path.read_bytes()
        if content.startswith(codecs.BOM_UTF8):
            raise ValueError("it begins with a byte order mark, at which the script ends")
        lines = content.decode("ascii").splitlines()
        if len(lines) != 1:
            raise ValueError(f"{len(lines)} lines, not one")
        classes, height, width = map(int, lines[0].split(","))
        if min(classes, height, width) < 1:
            raise ValueError("a number below 1")
    except OSError as error:
        raise PropertyError(f"{path} can't be read: {error.strerror}", remedy=remedy) from error
    except ValueError as error:
        raise PropertyError(f"{path} isn't three integers: {error}", remedy=remedy) from error
    return Property(classes, height, width)
