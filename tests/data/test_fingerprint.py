from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from mfn_patcher.data import fingerprint as module
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.data.synth import synthesise


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthesise(folder, identities=2, images_per_identity=4, sets=["lfw"])
    return folder


def test_copies_are_equal(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    found = fingerprint(data)
    assert fingerprint(tmp_path / "copy") == found
    assert set(found.files) == {path.name for path in data.iterdir()}
    property_file = (data / "property").read_bytes()
    assert found.files["property"].sha256 == hashlib.sha256(property_file).hexdigest()


@pytest.mark.parametrize("name", ["property", "train.rec", "train.idx", "lfw.bin"])
def test_one_byte_makes_another(data: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(data, tmp_path / "copy")
    path = tmp_path / "copy" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert fingerprint(tmp_path / "copy").sha256 != fingerprint(data).sha256


def test_a_missing_file_makes_another(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / "lfw.bin").unlink()
    found = fingerprint(tmp_path / "copy")
    assert "lfw.bin" not in found.files
    assert found.sha256 != fingerprint(data).sha256


def test_a_large_file_is_sampled_from_its_first_byte_to_its_last(tmp_path: Path) -> None:
    """A sparse file of a terabyte takes no time."""
    path = tmp_path / "train.rec"
    path.touch()
    os.truncate(path, 1 << 40)
    prints = {fingerprint(tmp_path).files["train.rec"].sha256}
    for place in (0, (1 << 40) - 1, ((1 << 40) - module._SAMPLE) * 5 // 127):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        prints.add(fingerprint(tmp_path).files["train.rec"].sha256)
    assert len(prints) == 4
    assert not fingerprint(tmp_path).files["train.rec"].whole
