"""Our decoder against MXNet's, on images that decoders treat differently."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.engine.environment import PACKAGE
from mfn_patcher.trainer.mfn_trainer import pixels
from tests.support.odd_images import encode, face, odd_images, undecodable_images

needs_mxnet = [
    pytest.mark.mxnet,
    pytest.mark.skipif(importlib.util.find_spec("mxnet") is None, reason="needs MXNet"),
]

DECODE = """
import pickle, sys
import mxnet as mx
found = {}
for name, content in pickle.load(sys.stdin.buffer).items():
    try:
        found[name] = mx.image.imdecode(content).asnumpy()
    except (mx.base.MXNetError, ValueError):
        found[name] = None
with open(sys.argv[1], 'wb') as file:
    pickle.dump(found, file)
"""


def decoded_by_mxnet(images: dict[str, bytes], folder: Path, **environment: str) -> dict[str, Any]:
    """Return images as MXNet decodes them, in RGB; None if it fails."""
    output = folder / "decoded"
    subprocess.run(
        [sys.executable, "-c", DECODE, output],
        input=pickle.dumps(images),
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
        check=True,
    )
    found: dict[str, Any] = pickle.loads(output.read_bytes())
    return found


def differing(images: dict[str, bytes], folder: Path) -> list[str]:
    """Return the names of the images that the decoder decodes differently from MXNet."""
    expected = decoded_by_mxnet(images, folder)
    found = {name: pixels.decode(content) for name, content in images.items()}
    return [
        name
        for name, img in found.items()
        if img is None or not np.array_equal(img[..., ::-1], expected[name])
    ]


class TestAgainstMXNet:
    pytestmark = needs_mxnet

    @pytest.mark.parametrize("size", [(112, 112), (96, 110)], ids=["square", "upright"])
    def test_odd_images(self, size: tuple[int, int], tmp_path: Path) -> None:
        images = odd_images(size)
        assert len(images) > 90
        assert differing(images, tmp_path) == []

    def test_what_it_refuses(self, tmp_path: Path) -> None:
        images = undecodable_images()
        accepted = [name for name, content in images.items() if pixels.decode(content) is not None]
        assert accepted == []
        # For these, MXNet returns uninitialised memory.
        undefined = {
            "jpeg, header alone",
            "jpeg, not a row",
            "jpeg, 2% of it",
            "jpeg, 10% of it",
            "png, 2% of it",
            "png, wrong checksum",
        }
        expected = decoded_by_mxnet(images, tmp_path)
        assert {name for name, img in expected.items() if img is not None} <= undefined

    @pytest.mark.parametrize(
        "options",
        [{"quality": 90}, {"quality": 95, "subsampling": 0}, {"restart_marker_blocks": 2}],
        ids=["usual", "without subsampling", "restart markers"],
    )
    def test_a_jpeg_that_ends_anywhere(self, options: dict[str, int], tmp_path: Path) -> None:
        whole = encode(face(4), "JPEG", **options)
        cuts = {str(length): whole[:length] for length in range(1000, len(whole), 13)}
        images = {name: cut for name, cut in cuts.items() if pixels.decode(cut) is not None}
        assert len(images) > 0.6 * len(cuts)
        assert differing(images, tmp_path) == []


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_the_pytorch_engine_decodes_as_mxnet(tmp_path: Path) -> None:
    images = odd_images() | undecodable_images()
    found = decoded_by_mxnet(images, tmp_path, PYTHONPATH=str(PACKAGE))
    for name, content in images.items():
        expected = pixels.decode(content)
        if expected is None or found[name] is None:
            assert found[name] is expected, name
        else:
            assert np.array_equal(found[name], expected[..., ::-1]), name


def test_views_of_memory() -> None:
    for name, content in (odd_images() | undecodable_images()).items():
        expected = pixels.decode(content)
        got = pixels.decode(memoryview(content))
        if got is None or expected is None:
            assert got is expected, name
        else:
            assert np.array_equal(got, expected), name


def test_writing_channels() -> None:
    img = pixels.decode(encode(Image.new("RGB", (3, 2), (1, 2, 3)), "PNG"))
    assert img is not None
    img[0, 0] = 9
    out = np.zeros((3, 2, 3), dtype=np.float32)
    pixels.write(img, out, mirrored=False)
    assert out[:, 1, 1].tolist() == [1, 2, 3]
    assert out[:, 0, 0].tolist() == [9, 9, 9]
    pixels.write(img, out, mirrored=True)
    assert out[:, 0, 2].tolist() == [9, 9, 9]
    with pytest.raises(ValueError, match="is 3x2 pixels, not 2x3"):
        pixels.write(img, out.transpose(0, 2, 1), mirrored=False)
