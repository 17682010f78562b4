from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.data.recordio import Index, RecordReader, unpack
from mfn_patcher.data.synth import SynthesisError, count_images, synthesise
from mfn_patcher.data.verification_set import NAMES, read_verification_set

pytestmark = pytest.mark.long


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_files(pristine: Path) -> None:
    assert set(content_of(pristine)) == {
        "agedb_30.bin", "cfp_fp.bin", "lfw.bin", "property", "train.idx", "train.rec",
    }  # fmt: skip
    assert (pristine / "property").read_bytes() == b"4,112,112\n"


def test_records(pristine: Path) -> None:
    index = Index.read(pristine / "train.idx")
    assert index.keys.tolist() == list(range(25))
    with RecordReader(pristine / "train.rec") as reader:
        assert [position for position, _ in reader] == index.positions.tolist()
        records = [unpack(payload) for _, payload in reader]
    assert [record.id for record in records] == list(range(25))
    assert (records[0].flag, records[0].labels, records[0].content) == (2, (21, 25), b"")
    assert [record.flag for record in records[1:21]] == [0] * 20
    assert [record.labels for record in records[1:21]] == [(i // 5,) for i in range(20)]
    assert [record.flag for record in records[21:]] == [2] * 4
    assert [record.labels for record in records[21:]] == [(1, 6), (6, 11), (11, 16), (16, 21)]
    for record in records[1:21]:
        image = Image.open(io.BytesIO(record.content))
        assert (image.format, image.size, image.mode) == ("JPEG", (112, 112), "RGB")


def test_images_differ_and_identities_more(pristine: Path) -> None:
    with RecordReader(pristine / "train.rec") as reader:
        records = [unpack(payload) for _, payload in reader][1:21]
    faces = np.array([np.asarray(Image.open(io.BytesIO(r.content)), float) for r in records])
    assert len({record.content for record in records}) == 20
    # The middle of the face, without its mean colour, which depends on the light.
    patches = faces[:, 30:100, 30:82].mean(axis=3)
    patches -= patches.mean(axis=(1, 2), keepdims=True)
    patches = patches.reshape(4, 5, -1)
    within = np.mean(np.var(patches, axis=1))
    between = np.mean(np.var(patches.mean(axis=1), axis=0))
    assert between > within / 5


@pytest.mark.parametrize("name", NAMES)
def test_verification_sets(pristine: Path, name: str) -> None:
    pairs = read_verification_set(pristine / f"{name}.bin")
    assert len(pairs.same) == 20
    assert len(set(pairs.images)) == 40
    for fold in np.array_split(pairs.same, 10):
        assert 0 < np.sum(fold) < len(fold)


def test_equal_arguments_give_equal_bytes(pristine: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    drawn = []
    written = synthesise(
        tmp_path, identities=4, images_per_identity=5, on_image=lambda: drawn.append(1)
    )
    assert content_of(tmp_path) == {**content_of(pristine), "notes.txt": b"mine"}
    assert len(drawn) == count_images(4, 5, 20) == 140
    assert (written.identities, written.images, written.pairs) == (4, 20, 20)
    assert {path.name for path in written.files} == set(content_of(pristine))


def test_sets_that_are_not_wanted_are_not_drawn(pristine: Path, tmp_path: Path) -> None:
    drawn: list[int] = []
    written = synthesise(
        tmp_path,
        identities=4,
        images_per_identity=5,
        sets=["cfp_fp"],
        on_image=lambda: drawn.append(1),
    )
    names = {path.name for path in written.files}
    assert names == {"train.rec", "train.idx", "cfp_fp.bin", "property"}
    assert content_of(tmp_path) == {name: content_of(pristine)[name] for name in names}
    assert len(drawn) == count_images(4, 5, 20, ["cfp_fp"]) == 60


def test_another_seed_gives_other_faces(pristine: Path, tmp_path: Path) -> None:
    synthesise(tmp_path, identities=4, images_per_identity=5, seed=1)
    other, this = content_of(tmp_path), content_of(pristine)
    assert [name for name in this if this[name] == other[name]] == ["property"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": 19}, "pairs: 19"),
        ({"identities": 0}, "identities: 0"),
        ({"images_per_identity": 0}, "images per identity: 0"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_numbers_too_small(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SynthesisError, match=message):
        synthesise(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["train.rec", "lfw.bin", "property"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(SynthesisError, match=f"already contains {name}"):
        synthesise(tmp_path)
    assert content_of(tmp_path) == {name: b"precious"}


def test_directory_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SynthesisError, match="cannot write"):
        synthesise(tmp_path / "file")


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path, on_image=fail)
    assert not list(tmp_path.iterdir())


def test_failure_at_the_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def fail_late(source: Path, target: Path) -> None:
        if target.name == "property":
            raise FileExistsError
        link(source, target)

    monkeypatch.setattr(os, "link", fail_late)
    with pytest.raises(SynthesisError):
        synthesise(tmp_path, identities=1, images_per_identity=1)
    assert not list(tmp_path.iterdir())


def test_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    synthesise(tmp_path, identities=1, images_per_identity=1)
    assert len(content_of(tmp_path)) == 6


def test_rerun_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from mfn_patcher.data.synth import synthesise\n"
        "link = os.link\n"
        "def kill_late(source, target):\n"
        "    if target.name == 'cfp_fp.bin':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    link(source, target)\n"
        "os.link = kill_late\n"
        "synthesise(pathlib.Path(sys.argv[1]), identities=1, images_per_identity=1)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "train.rec").exists()
    assert not (tmp_path / "property").exists()
    (tmp_path / "lfw.bin").unlink()
    (tmp_path / "lfw.bin").write_text("put here since then")
    with pytest.raises(SynthesisError, match=r"already contains lfw\.bin;"):
        synthesise(tmp_path)
    assert content_of(tmp_path) == {"lfw.bin": b"put here since then"}
    (tmp_path / "lfw.bin").unlink()
    synthesise(tmp_path, identities=1, images_per_identity=1)
    assert len(content_of(tmp_path)) == 6
