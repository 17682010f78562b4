"""Verification sets: the ``.bin`` files, pickles of (encoded images, same or not).

A pickle is a program, and these files travel between strangers. Nothing in them is run here:
the few globals that honest files name are answered by stand-ins of this module, which keep
bytes and touch neither NumPy nor the import system; any other global is refused.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable

from mfn_patcher.errors import MfnPatchError

NAMES = ("lfw", "cfp_fp", "agedb_30")
"""The sets that the training script looks for, each in ``<name>.bin``."""


class VerificationSetError(MfnPatchError):
    """A ``.bin`` file can't be read as a verification set."""

    def __init__(self, message: str, *, remedy: str = "Copy or download it again.") -> None:
        super().__init__(message, remedy=remedy)


class UnsafePickleError(VerificationSetError):
    """A ``.bin`` file asks for something that no verification set needs."""

    def __init__(self, path: Path, wanted: str) -> None:
        super().__init__(
            f"{path} asks for {wanted}: it carries code, none of which was run",
            remedy="Don't train on this data set: without stack safety the training script would "
            "run that code. Get the file from a source you trust.",
        )


@dataclass(frozen=True)
class VerificationSet:
    """Pairs of faces.

    Attributes:
        images: Encoded images; images 2i and 2i+1 are pair i.
        same: For each pair, whether both images show one identity.
    """

    images: tuple[bytes, ...]
    same: tuple[bool, ...]


class _Dtype:
    """Stands in for ``numpy.dtype``: one-byte types only, so never objects."""

    __slots__ = ("name",)

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name.decode("latin-1") if isinstance(name, bytes) else name
        if self.name not in ("u1", "b1"):
            raise ValueError(f"an array of type {self.name!r}, neither bytes nor booleans")

    def __setstate__(self, state: object) -> None:
        """Byte order and field names: nothing that bytes have."""


class _Array:
    """Stands in for ``numpy.ndarray``: keeps the bytes."""

    __slots__ = ("data", "dtype")

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, _, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, (bytes, bytearray)):
            raise ValueError("an array that doesn't hold bytes")
        if math.prod(shape) != len(data):
            raise ValueError(f"an array of shape {shape} with {len(data)} bytes")
        self.dtype = dtype.name
        self.data = bytes(data)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file, encoding="bytes")
        self._path = path
        # Bound methods, because a pickle can set attributes of a plain function.
        self._globals: dict[tuple[str, str], Any] = {
            ("_codecs", "encode"): self._encode,
            ("numpy", "dtype"): _Dtype,
            ("numpy", "ndarray"): "numpy.ndarray",
        }
        numpy_functions: dict[tuple[str, str], Callable[..., Any]] = {
            ("multiarray", "_reconstruct"): self._reconstruct,
            ("multiarray", "scalar"): self._scalar,
            ("numeric", "_frombuffer"): self._frombuffer,
        }
        for (module, name), stand_in in numpy_functions.items():
            self._globals["numpy.core." + module, name] = stand_in
            self._globals["numpy._core." + module, name] = stand_in

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._globals[module, name]
        except KeyError:
            raise UnsafePickleError(self._path, f"{module}.{name}") from None

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise UnsafePickleError(self._path, f"the codec {encoding!r}")
        return text.encode("latin-1")

    def _reconstruct(self, *_: object) -> _Array:
        return _Array()

    def _frombuffer(self, data: bytes, dtype: _Dtype, shape: tuple[int, ...], _: str) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, dtype, False, data))
        return array

    def _scalar(self, dtype: _Dtype, data: bytes) -> bool:
        if dtype.name != "b1":
            raise ValueError(f"a scalar of type {dtype.name!r}, not a boolean")
        return data != b"\0"


def _image(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, _Array) and value.dtype == "u1":
        return value.data
    raise ValueError(f"an image that is {type(value).__name__}, not bytes")


def _same(value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ValueError(f"a pair that is marked {value!r}, neither true nor false")


def read_verification_set(path: Path) -> VerificationSet:
    """Read a ``.bin`` file, written by Python 2 or 3, without running anything in it.

    Args:
        path: The file; it is loaded whole, about 100 MB for the published sets.

    Returns:
        What the file holds; the numbers of images and pairs needn't fit each other.

    Raises:
        UnsafePickleError: The file names a global that no verification set needs.
        VerificationSetError: The file is missing, damaged or something else.
    """
    try:
        with path.open("rb") as file:
            images, same = _Unpickler(file, path).load()
        if isinstance(same, _Array) and same.dtype == "b1":
            same = list(same.data)
        return VerificationSet(tuple(map(_image, images)), tuple(map(_same, same)))
    except UnsafePickleError:
        raise
    except OSError as error:
        raise VerificationSetError(f"{path} can't be read: {error.strerror}") from error
    except Exception as error:
        # A damaged pickle can end in almost any error.
        raise VerificationSetError(f"{path} is no verification set: {error}") from error


def write_verification_set(path: Path, images: Sequence[bytes], same: Sequence[bool]) -> None:
    """Write a ``.bin`` file just as Python 2 did: protocol 2, images as its byte strings.

    Python 3 has no way to pickle these, and without them the file would not ask of the
    training script what the published sets do.

    Args:
        path: The file, made anew.
        images: Encoded images; images 2i and 2i+1 are pair i.
        same: For each pair, whether both images show one identity.
    """

    def items(opcodes: Sequence[bytes]) -> bytes:
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(opcodes) + pickle.APPENDS

    path.write_bytes(
        pickle.PROTO
        + b"\x02"
        + items([pickle.BINSTRING + struct.pack("<i", len(image)) + image for image in images])
        + items([pickle.NEWTRUE if value else pickle.NEWFALSE for value in same])
        + pickle.TUPLE2
        + pickle.STOP
    )
