"""The images to embed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.data.synth import synthesise
from mfn_patcher.export import images
from mfn_patcher.export.images import ImageError
from mfn_patcher.trainer.mfn_trainer import pixels
from tests.support.odd_images import odd_images, png_header


def test_drawn_faces_are_the_same_each_time() -> None:
    one, other = images.proof_images(None), images.proof_images(None)
    assert one.pixels.shape == (64, 3, 112, 112)
    assert one.source == "synthetic faces, seed 0"
    assert np.array_equal(one.pixels, other.pixels)
    assert len({image.tobytes() for image in one.pixels}) == 64


def test_images_of_a_verification_set(tmp_path: Path) -> None:
    synthesise(tmp_path / "data", identities=2, images_per_identity=2, pairs=40, sets=["lfw"])
    found = images.proof_images(tmp_path / "data" / "lfw.bin")
    assert found.pixels.shape == (64, 3, 112, 112)
    assert found.source == str(tmp_path / "data" / "lfw.bin")


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    Image.new("RGB", (112, 112), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("L", (112, 112), 7).save(tmp_path / "grey.png")
    found = images.read_crops([tmp_path / "a.png", tmp_path / "grey.png"])
    assert found[:, :, 5, 5].tolist() == [[1, 2, 3], [7, 7, 7]]


def test_other_files_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (160, 160)).save(tmp_path / "large.png")
    Image.new("RGB", (112, 112)).save(tmp_path / "face.webp")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "huge.png").write_bytes(png_header(20_000))
    for name, reason in {
        "large.png": "is 160x160, not 112x112",
        "huge.png": "is 20000x20000, not 112x112",
        "face.webp": "cannot be decoded: MXNet does not read WEBP images",
        "text.jpg": "cannot be decoded",
        "none.png": "cannot read .*none.png: No such file",
    }.items():
        with pytest.raises(ImageError, match=reason) as raised:
            images.read_crops([tmp_path / name])
        assert raised.value.remedy


def test_crops_are_decoded_as_for_training(tmp_path: Path) -> None:
    for name, content in odd_images().items():
        (tmp_path / "crop").write_bytes(content)
        img = pixels.decode(content)
        assert img is not None
        crop = images.read_crops([tmp_path / "crop"])[0]
        assert np.array_equal(crop.transpose(1, 2, 0), img[..., ::-1]), name
