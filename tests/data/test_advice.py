from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfn_patcher.data import advice
from mfn_patcher.data.check import VerificationSetSize, check
from mfn_patcher.data.recordio import Index, RecordReader, RecordWriter, pack, unpack
from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from mfn_patcher.finding import Finding, Level


def warnings(directory: Path) -> list[Finding]:
    result = check(directory)
    assert result.ok, result.findings
    return [finding for finding in result.findings if finding.level is Level.WARNING]


def first_images(directory: Path, count: int) -> list[bytes]:
    index = Index.read(directory / "train.idx")
    with RecordReader(directory / "train.rec") as reader:
        return [unpack(reader.read(int(index.positions[key + 1]))).content for key in range(count)]


def test_many_single_images(faces: Path) -> None:
    images = first_images(faces, 11)
    with RecordWriter(faces / "train.rec", faces / "train.idx") as writer:
        writer.write(0, pack([12, 16], 0))
        for key, content in enumerate(images, start=1):
            writer.write(key, pack(max(0, key - 8), key, content))
        for key, ranges in enumerate([(1, 9), (9, 10), (10, 11), (11, 12)], start=12):
            writer.write(key, pack(ranges, key))
    (found,) = warnings(faces)
    assert found.detail.startswith("3 of 4 identities have a single image, which shows nothing")


@pytest.mark.parametrize(
    ("counts", "level", "words"),
    [
        ((5, 6), None, ""),
        ((4, *[5] * 9), Level.OK, "1 of 10 identities has fewer than 5 images (p0), "),
        ((1, *[5] * 9), Level.OK, "1 of 10 identities has a single image (p0), which shows"),
        ((1, 4, *[5] * 18), Level.OK, "; 1 of them has a single image"),
        ((4, *[5] * 8), Level.WARNING, "1 of 9 identities has fewer than 5 images (p0), "),
        ((1, 5, 2, 4, 1), Level.WARNING, "4 of 5 identities have fewer than 5 images (p0, p2, p3"),
        ((1, 5, 2, 4, 1), Level.WARNING, "(p0, p2, p3, ...), which show little"),
        ((1, 5, 2, 4, 1), Level.WARNING, "; 2 of them have a single image"),
    ],
)
def test_identities_with_few_images(counts: list[int], level: Level | None, words: str) -> None:
    firsts = np.cumsum([1, *counts[:-1]])
    names = [f"p{number}" for number in range(len(counts))]
    found = list(advice.advise_on_identities(firsts, sum(counts), names))
    assert [each.level for each in found] == ([level] if level else [])
    assert words in "".join(each.detail for each in found)
    assert all(bool(each.remedy) == (each.level is Level.WARNING) for each in found)


def test_images_that_are_trained_on(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = read_verification_set(faces / "cfp_fp.bin")
    images = [*first_images(faces, 6), *pairs.images[6:]]
    write_verification_set(faces / "cfp_fp.bin", images, pairs.same)
    (found,) = warnings(faces)
    assert found.check == "cfp_fp.bin"
    assert found.detail.startswith("6 of 40 images are also in train.rec")
    # It would take minutes.
    monkeypatch.setattr(advice, "_MANY", 19)
    assert warnings(faces) == []


def test_sets_of_other_names(faces: Path) -> None:
    (faces / "lfw.bin").rename(faces / "mine.bin")
    result = check(faces)
    assert result.verification_sets["mine"] == VerificationSetSize(40, 20)
    (found,) = warnings(faces)
    assert (found.check, found.detail[:10]) == ("lfw.bin", "is missing")

    # Who has only sets of their own does not miss the published ones.
    for name in ("cfp_fp", "agedb_30"):
        (faces / f"{name}.bin").unlink()
    (found,) = warnings(faces)
    assert found.check == "verification sets"
    assert "-- --target mine" in found.remedy
    (faces / "mine.bin").write_bytes(b"")
    assert not check(faces).ok
