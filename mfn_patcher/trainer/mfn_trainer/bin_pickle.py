"""Unpickle verification sets, the ``.bin`` files, without running anything that they name.

A pickle is a program, and these files travel between strangers. The names that files of images and
truth values need are answered by stand-ins of this module, which build bytes and numbers and call
nothing else; any other name is refused before anything is called.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np

# Bytes, truth values, numbers, byte strings of one length, and lists of objects made here.
_TYPES = re.compile(r"[biuf][1248]|S\d+|O\d?")
_LATIN_1 = ("latin1", "latin-1")


class RefusedError(Exception):
    """The file names something that no verification set needs."""


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    __slots__ = ("name", "order")

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name.decode("latin-1") if isinstance(name, bytes) else name
        self.order = "="
        if not _TYPES.fullmatch(self.name):
            raise ValueError(f"an array of type {self.name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Read the byte order; these types have no other state."""
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        self.order = order if order in ("<", ">") else "="

    def read(self, data: Any) -> list[Any]:
        """Return the items of an array."""
        if self.name.startswith("O"):
            if not isinstance(data, list):
                raise ValueError("an array of objects without objects")
            return data
        if not isinstance(data, (bytes, bytearray)):
            raise ValueError("an array that does not hold bytes")
        items: list[Any] = np.frombuffer(data, dtype=np.dtype(self.order + self.name)).tolist()
        return items


class _Array:
    """Stands in for ``numpy.ndarray``."""

    __slots__ = ("data", "dtype")

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, Any]) -> None:
        _, shape, self.dtype, _, self.data = state
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("an array without a type")
        if self.dtype.name in ("u1", "b1") and np.prod(shape) != len(self.data):
            raise ValueError(f"an array of shape {shape} with {len(self.data)} bytes")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="bytes")
        # Bound methods, because a pickle can set attributes of a plain function.
        self._known: dict[str, Any] = {
            "_codecs.encode": self._encode,
            "builtins.bytes": self._bytes,
            "builtins.bytearray": self._bytes,
            "numpy.dtype": _Dtype,
            "numpy.ndarray": "numpy.ndarray",
        }
        numpy_functions: dict[str, Callable[..., Any]] = {
            "multiarray._reconstruct": self._reconstruct,
            "multiarray.scalar": self._scalar,
            "numeric._frombuffer": self._frombuffer,
        }
        for name, stand_in in numpy_functions.items():
            self._known["numpy.core." + name] = stand_in
            self._known["numpy._core." + name] = stand_in

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if wanted not in self._known:
            raise RefusedError(f"{module}.{name}")
        return self._known[wanted]

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding not in _LATIN_1:
            raise RefusedError(f"the codec {encoding!r}")
        return text.encode("latin-1")

    def _bytes(self, content: str | bytes = b"", encoding: str = "latin-1") -> bytes:
        # For a number, bytes() would return that many zeros.
        if isinstance(content, (bytes, bytearray)):
            return bytes(content)
        if isinstance(content, str):
            return self._encode(content, encoding)
        raise ValueError(f"bytes made of {type(content).__name__}")

    def _reconstruct(self, *_: object) -> _Array:
        return _Array()

    def _frombuffer(self, data: bytes, dtype: _Dtype, shape: tuple[int, ...], _: str) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, dtype, False, data))
        return array

    def _scalar(self, dtype: _Dtype, data: bytes) -> Any:
        (value,) = dtype.read(data)
        return value


def load(file: IO[bytes]) -> tuple[list[bytes], list[bool]]:
    """Return encoded images and, for each pair of them, whether it shows one person.

    Args:
        file: The open file.

    Raises:
        RefusedError: It names something that no verification set needs.
        Exception: It is damaged, or something else; almost any error.
    """
    images, same = _Unpickler(file).load()
    return [_image(value) for value in _items(images)], [_same(value) for value in _items(same)]


def _items(values: Any) -> Iterable[Any]:
    return values.dtype.read(values.data) if isinstance(values, _Array) else values


def _image(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, _Array) and value.dtype.name == "u1":
        return bytes(value.data)
    raise ValueError(f"an image that is {_describe(value)}, not bytes")


def _same(value: object) -> bool:
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise ValueError(f"a pair that is marked {_describe(value)}, neither true nor false")


def _describe(value: object) -> str:
    if isinstance(value, _Array):
        return f"an array of type {value.dtype.name!r}"
    return repr(value) if isinstance(value, (int, float)) or value is None else type(value).__name__
