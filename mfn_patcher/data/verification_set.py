"""Verification sets: ``.bin`` files, which are pickles of (encoded images, same or not)."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.errors import MfnPatchError

NAMES = ("lfw", "cfp_fp", "agedb_30")
"""The sets that the training script looks for, each in ``<name>.bin``."""
FOLDS = 10
"""Folds of the script's cross-validation: consecutive pairs, in the order of the file."""
MINIMUM_PAIRS = 2 * FOLDS
"""Two for each fold, as a fold needs a pair of each kind."""
DRAWN = "own"
"""Name of the set whose pairs `mfn-patch data make` draws."""
DRAWN_RECIPE = "finetune-own"
"""Name of the recipe that fine-tunes on such data sets and measures `DRAWN`."""


class VerificationSetError(MfnPatchError):
    """A ``.bin`` file cannot be read as a verification set."""

    def __init__(self, message: str, *, remedy: str = "Copy or download it again.") -> None:
        super().__init__(message, remedy=remedy)


@dataclass(frozen=True)
class VerificationSet:
    """Pairs of faces.

    Attributes:
        images: encoded images; images 2i and 2i+1 are pair i.
        same: for each pair, whether both images show one identity.
    """

    images: tuple[bytes, ...]
    same: tuple[bool, ...]


def set_names(directory: Path) -> list[str]:
    """Return the names of the verification sets in a directory, the published ones first."""
    present = sorted(path.stem for path in directory.glob("*.bin"))
    return sorted(present, key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))


def read_verification_set(path: Path) -> VerificationSet:
    """Read a ``.bin`` file, written by Python 2 or 3, without running anything in it.

    Args:
        path: the file. It is read into memory, about 100 MB for the published sets.

    Returns:
        The content of the file; the numbers of images and pairs need not match.

    Raises:
        VerificationSetError: The file is missing, damaged or not a verification set, or refers to
            a global that no verification set needs.
    """
    from mfn_patcher.trainer.mfn_trainer import bin_pickle  # noqa: PLC0415  (imports NumPy)

    try:
        with path.open("rb") as file:
            images, same = bin_pickle.load(file)
    except bin_pickle.RefusedError as error:
        raise VerificationSetError(
            f"{path} names {error}, which no verification set needs: nothing was loaded, because "
            "loading such a name can run code",
            remedy="If the file is not yours, get it from a source you trust. If it is, pickle a "
            "list of bytes and a list of bools.",
        ) from error
    except OSError as error:
        raise VerificationSetError(
            f"{path} cannot be read: {error.strerror}", remedy="Check its owner and permissions."
        ) from error
    except Exception as error:
        # A damaged pickle can raise almost any exception.
        raise VerificationSetError(f"{path} is not a verification set: {error}") from error
    return VerificationSet(tuple(images), tuple(same))


def write_verification_set(path: Path, images: Iterable[bytes], same: Sequence[bool]) -> None:
    """Write a ``.bin`` file as Python 2 did: protocol 2, with the images as its byte strings.

    Python 3 cannot pickle such strings. Without them, the file would not demand of the training
    script what the published sets demand. Images are written as they come.

    Args:
        path: the file, which is replaced if it exists.
        images: encoded images; images 2i and 2i+1 are pair i.
        same: for each pair, whether both images show one identity.
    """
    with path.open("wb") as file:
        file.write(pickle.PROTO + b"\x02" + pickle.EMPTY_LIST + pickle.MARK)
        for image in images:
            file.write(pickle.BINSTRING + struct.pack("<i", len(image)) + image)
        file.write(pickle.APPENDS + pickle.EMPTY_LIST + pickle.MARK)
        file.write(b"".join(pickle.NEWTRUE if value else pickle.NEWFALSE for value in same))
        file.write(pickle.APPENDS + pickle.TUPLE2 + pickle.STOP)
