"""Reading names and shapes from checkpoints, without MXNet."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.checkpoints.parameters import ParametersError, Shape, random_layers, read_shapes

SAVE = """
import sys
import mxnet as mx
arrays = {'arg:w%d' % i: mx.nd.zeros((2, 3 + i), dtype=kind) for i, kind in enumerate(
    ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64'])}
arrays['aux:long'] = mx.nd.zeros((1, 1, 1, 70000))
mx.nd.save(sys.argv[1], arrays)
mx.nd.save(sys.argv[2], list(arrays.values()))
"""


def written(*arrays: tuple[str, tuple[int, ...]]) -> bytes:
    """Return a file of float32 arrays, as MXNet has written them since 2018."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for _, shape in arrays:
        content += struct.pack(f"<Iii{len(shape)}q", 0xF993FAC9, 0, len(shape), *shape)
        content += struct.pack("<iii", 1, 0, 0) + bytes(4 * math.prod(shape))
    content += struct.pack("<Q", len(arrays))
    for name, _ in arrays:
        content += struct.pack("<Q", len(name)) + name.encode()
    return content


@pytest.mark.mxnet
def test_files_of_mxnet(tmp_path: Path) -> None:
    named, unnamed = tmp_path / "named", tmp_path / "unnamed"
    subprocess.run([sys.executable, "-c", SAVE, named, unnamed], check=True)
    assert read_shapes(named) == {f"w{i}": (2, 3 + i) for i in range(7)} | {
        "long": (1, 1, 1, 70000)
    }
    with pytest.raises(ParametersError, match="it has 0 names for 8 arrays"):
        read_shapes(unnamed)


def test_every_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    whole = written(("arg:fc7_weight", (4, 3)), ("aux:mean", (5,)))
    path.write_bytes(whole)
    assert read_shapes(path) == {"fc7_weight": (4, 3), "mean": (5,)}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ParametersError, match="truncated or not a checkpoint") as caught:
            read_shapes(path)
        assert caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"no checkpoint, but long enough to look for one",
        bytes(100),
        struct.pack("<QQQ", 0x112, 0, 1 << 60) + bytes(100),
        struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FAC9, 1, 2) + bytes(100),
        struct.pack("<QQQIii", 0x112, 0, 1, 0xF993FAC9, 0, -1) + bytes(100),
        struct.pack("<QQQIiiqiii", 0x112, 0, 1, 0xF993FAC9, 0, 1, -5, 1, 0, 0) + bytes(100),
        struct.pack("<QQQIiiqiii", 0x112, 0, 1, 0xF993FAC9, 0, 1, 5, 1, 0, 99) + bytes(100),
        written(("\udc80".encode("utf-8", "surrogatepass").decode("latin-1"), (1,)))[:-2],
    ],
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.params").write_bytes(content)
    with pytest.raises(ParametersError):
        read_shapes(tmp_path / "a.params")


def test_layers_that_start_at_random() -> None:
    shapes: dict[str, Shape] = {"conv_weight": (512, 1), "fc1_weight": (128, 512)}
    shapes["fc7_weight"] = (20, 128)
    shapes["fc7_bias"] = (20,)  # as upstream's own code has it
    assert random_layers(shapes, 20, 128) == {}
    assert random_layers(shapes, 6, 128) == {
        "it was trained with 20 identities, the data set has 6": ["fc7_weight"]
    }
    assert random_layers(shapes, 6, 64) == {
        "its embeddings have 128 values, the new ones 64": ["fc1_weight", "fc7_weight"]
    }
    del shapes["fc7_weight"]
    assert random_layers(shapes, 20, 128) == {"it has none": ["fc7_weight"]}
