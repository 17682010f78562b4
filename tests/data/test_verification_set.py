from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfn_patcher.data.verification_set import (
    VerificationSet,
    VerificationSetError,
    read_verification_set,
    write_verification_set,
)

IMAGES = [b"\xff\xd8 one", b"\xff\xd8 two \x00\x80", b"\xff\xd8 three", b"\xff\xd8 4"]
EXPECTED = VerificationSet(tuple(IMAGES), (True, False))


def short_string(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def python2_array(data: bytes, dtype: bytes = b"u1") -> bytes:
    """Python 2's pickle of a NumPy column of bytes."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        + short_string(b"b")
        + b"\x87R(K\x01K"
        + bytes([len(data)])
        + b"K\x01\x86cnumpy\ndtype\n"
        + short_string(dtype)
        + b"K\x00K\x01\x87R(K\x03"
        + short_string(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(data))
        + data
        + b"tb"
    )


def python2_set(images: list[bytes]) -> bytes:
    return b"\x80\x02](" + b"".join(images) + b"e](\x88\x89e\x86."


def read(directory: Path, content: bytes) -> VerificationSet:
    path = directory / "lfw.bin"
    path.write_bytes(content)
    return read_verification_set(path)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    write_verification_set(path, IMAGES, [True, False])
    assert read_verification_set(path) == EXPECTED
    assert pickle.loads(path.read_bytes(), encoding="bytes") == (IMAGES, [True, False])


def test_written_like_python_2(tmp_path: Path) -> None:
    path = tmp_path / "lfw.bin"
    write_verification_set(path, IMAGES, [True, False])
    with pytest.raises(UnicodeDecodeError):  # as with the published sets
        pickle.loads(path.read_bytes())


def test_python_2_strings(tmp_path: Path) -> None:
    assert read(tmp_path, python2_set([short_string(image) for image in IMAGES])) == EXPECTED
    long_strings = [b"T" + struct.pack("<i", len(image)) + image for image in IMAGES]
    assert read(tmp_path, python2_set(long_strings)) == EXPECTED


def test_python_2_arrays(tmp_path: Path) -> None:
    content = python2_set([python2_array(image) for image in IMAGES])
    assert isinstance(pickle.loads(content, encoding="bytes")[0][0], np.ndarray)
    assert read(tmp_path, content) == EXPECTED


def as_bytes(image: bytes) -> Any:
    return image


def as_row(image: bytes) -> Any:
    return np.frombuffer(image, dtype=np.uint8)


def as_column(image: bytes) -> Any:
    return np.frombuffer(image, dtype=np.uint8).reshape(-1, 1).copy()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [as_bytes, as_row, as_column])
@pytest.mark.parametrize(
    "same", [[True, False], [np.True_, np.False_], np.array([True, False]), [1, 0]], ids=str
)
def test_python_3(tmp_path: Path, protocol: int, kind: Callable[[bytes], Any], same: Any) -> None:
    content = pickle.dumps(([kind(image) for image in IMAGES], same), protocol=protocol)
    assert read(tmp_path, content) == EXPECTED


class Hostile:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_not_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    hostile = Hostile(os.mkdir, str(trap))
    content = pickle.dumps(([hostile, *IMAGES], [True]), protocol=protocol)
    with pytest.raises(VerificationSetError, match=r"names (posix|nt)\.mkdir") as caught:
        read(tmp_path, content)
    assert "a source you trust" in caught.value.remedy
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists()  # it would have run


@pytest.mark.parametrize(
    "name",
    ["builtins\neval", "__builtin__\neval", "numpy\nload", "numpy.core.multiarray\nfromstring"],
)
def test_other_globals(tmp_path: Path, name: str) -> None:
    with pytest.raises(VerificationSetError, match=name.replace("\n", r"\.")):
        read(tmp_path, b"\x80\x02c" + name.encode() + b"\n.")


def test_dotted_name(tmp_path: Path) -> None:
    content = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(VerificationSetError, match=r"numpy\.ndarray\.tofile"):
        read(tmp_path, content)


def test_other_codecs(tmp_path: Path) -> None:
    content = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R."
    with pytest.raises(VerificationSetError, match="codec 'zlib'"):
        read(tmp_path, content)


def test_state_of_a_stand_in_is_lost(tmp_path: Path) -> None:
    # BUILD with (None, {"__defaults__": (1,)}) on what _codecs.encode is.
    content = b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b."
    with pytest.raises(VerificationSetError):
        read(tmp_path, content)


HARMLESS: dict[str, tuple[Any, Any]] = {
    "tuples": (tuple(IMAGES), (True, False)),
    "bytearrays": ([bytearray(image) for image in IMAGES], [True, False]),
    "an array of objects": (np.array(IMAGES, dtype=object), np.array([True, False], dtype=object)),
    "arrays of rows": (np.array([as_row(image) for image in IMAGES], dtype=object), [1, 0]),
    "byte strings of one length": (np.array(IMAGES), [True, False]),
    "integers": (IMAGES, np.array([1, 0])),
    "big endian": (IMAGES, np.array([1, 0], dtype=">i4")),
    "scalars": (IMAGES, [np.int64(1), np.uint8(0)]),
    "floats": (IMAGES, np.array([1.0, 0.0], dtype=np.float32)),
    "a float": (IMAGES, [1.0, np.float64(0)]),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", HARMLESS)
def test_what_else_people_pickle(tmp_path: Path, protocol: int, kind: str) -> None:
    assert read(tmp_path, pickle.dumps(HARMLESS[kind], protocol=protocol)) == EXPECTED


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("empty", [b"", bytearray()])
def test_empty_images(tmp_path: Path, protocol: int, empty: Any) -> None:
    """Python 3 pickles these as a call, in protocols without bytes."""
    found = read(tmp_path, pickle.dumps(([empty, *IMAGES[1:]], [True, False]), protocol=protocol))
    assert found == VerificationSet((b"", *IMAGES[1:]), (True, False))


def test_zeros_by_the_number(tmp_path: Path) -> None:
    with pytest.raises(VerificationSetError, match="bytes made of int"):
        read(tmp_path, b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([IMAGES, None], dtype=object), "an array of type 'O8'"),
        (np.zeros(3), "an array of type 'f8'"),
        (np.float64(1), "an image that is 1.0"),
        (np.array(["text"]), "an array of type 'U4'"),
        (np.zeros(2, dtype="c16"), "an array of type 'c16'"),
        (np.zeros(2, dtype=[("a", "u1")]), "an array of type 'V1'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_other_arrays(tmp_path: Path, value: Any, words: str, protocol: int) -> None:
    with pytest.raises(VerificationSetError, match=words):
        read(tmp_path, pickle.dumps(([value], [True]), protocol=protocol))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff\xe0 a picture",
        pickle.dumps((IMAGES, [True, False]))[:-10],
        pickle.dumps(IMAGES),
        pickle.dumps(7),
        pickle.dumps((["text"], [True])),
        pickle.dumps((b"bytes", [True])),
        pickle.dumps((IMAGES, [True, 2])),
        pickle.dumps((IMAGES, [True, None])),
        python2_set([python2_array(b"abc").replace(b"K\x03K\x01\x86", b"K\x04K\x01\x86")]),
        python2_set([python2_array(b"\1\0", b"b1")]),
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
        b"\x80\x02(" * 1000,
    ],
)
def test_no_verification_set(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(VerificationSetError, match="is not a verification set"):
        read(tmp_path, content)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(VerificationSetError, match="cannot be read"):
        read_verification_set(tmp_path / "lfw.bin")
