from __future__ import annotations

import os
import pickle
from pathlib import Path

from mfn_patcher.data.check import check, preflight
from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from mfn_patcher.finding import Level
from tests.support.data_sets import encoded, expect


def test_missing_verification_sets(faces: Path) -> None:
    (faces / "lfw.bin").unlink()
    expect(faces, Level.WARNING, "lfw.bin", "is missing")
    (faces / "cfp_fp.bin").unlink()
    (faces / "agedb_30.bin").unlink()
    result = check(faces)
    assert result.findings[-1].check == "verification sets"
    assert result.ok
    assert not preflight(faces, 8)


def change_pairs(directory: Path, images: slice, same: list[bool]) -> None:
    pairs = read_verification_set(directory / "lfw.bin")
    write_verification_set(directory / "lfw.bin", pairs.images[images], same)


def test_odd_number_of_images(faces: Path) -> None:
    change_pairs(faces, slice(39), [True, False] * 10)
    expect(faces, Level.ERROR, "lfw.bin", "39 images for 20 pairs, which need 40")


def test_more_images_than_pairs(faces: Path) -> None:
    change_pairs(faces, slice(40), [True, False] * 9 + [True])
    found = [(f.level, f.detail) for f in check(faces).findings if f.level is not Level.OK]
    assert found == [
        (Level.WARNING, "40 images for 19 pairs, which need 38"),
        (
            Level.ERROR,
            "fold 10 of 10 has no pair of different identities, and the script divides by their "
            "number",
        ),
    ]


def test_too_few_pairs(faces: Path) -> None:
    change_pairs(faces, slice(18), [True] * 9)
    expect(faces, Level.ERROR, "lfw.bin", "9 pairs are too few")


def test_fold_of_one_kind(faces: Path) -> None:
    change_pairs(faces, slice(40), [True] * 10 + [False] * 10)
    expect(faces, Level.ERROR, "lfw.bin", "fold 1 of 10 has no pair of different identities")
    assert [finding.check for finding in preflight(faces, 8)] == ["lfw.bin"]


def test_folds_are_those_of_the_script(faces: Path) -> None:
    # 21 pairs: the first fold has three, the others two.
    change_pairs(faces, slice(40), [True, True, False] + [True, False] * 9)
    details = [f.detail for f in check(faces).findings if f.level is Level.ERROR]
    assert details == ["40 images for 21 pairs, which need 42"]


def test_unusable_verification_image(faces: Path) -> None:
    pairs = read_verification_set(faces / "lfw.bin")
    write_verification_set(faces / "lfw.bin", [*pairs.images[:-1], encoded((96, 112))], pairs.same)
    expect(faces, Level.ERROR, "lfw.bin", "1 of 16", "image 39 is 96x112")


def test_an_empty_image_is_found_wherever_it_is(faces: Path) -> None:
    pairs = read_verification_set(faces / "lfw.bin")
    images = [*pairs.images]
    images[1] = b""
    assert check(faces).ok
    write_verification_set(faces / "lfw.bin", images, pairs.same)
    expect(faces, Level.ERROR, "lfw.bin", "image 1 cannot be decoded")


def test_empty_and_hostile_verification_sets(faces: Path, tmp_path: Path) -> None:
    (faces / "lfw.bin").write_bytes(b"")
    expect(faces, Level.ERROR, "lfw.bin", "is not a verification set")

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trap"),)

    (faces / "lfw.bin").write_bytes(pickle.dumps(Hostile(), protocol=2))
    expect(faces, Level.ERROR, "lfw.bin", "mkdir", "nothing was loaded")
    assert preflight(faces, 8)
    assert not (tmp_path / "trap").exists()
