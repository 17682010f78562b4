from __future__ import annotations

import io
import os
import pickle
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.dataset.check import check, preflight
from mfn_patcher.dataset.recordio import Index, RecordReader, RecordWriter, pack
from mfn_patcher.dataset.report import Report, VerificationFacts
from mfn_patcher.dataset.verification_set import read_verification_set, write_verification_set
from mfn_patcher.finding import Level
from tests.odd_images import odd_images, undecodable_images


def encoded(size: tuple[int, int] = (112, 112), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 128).save(file, format="JPEG")
    return file.getvalue()


def expect(directory: Path, level: Level, name: str, *words: str) -> None:
    """There is one finding of this level, about this, and it says these words."""
    report = check(directory)
    found = [finding for finding in report.findings if finding.level is level]
    assert [finding.check for finding in found] == [name], report.findings
    for word in words:
        assert word in found[0].detail
    assert found[0].remedy
    assert report.ok == (level is not Level.ERROR)


def records_of(directory: Path) -> dict[int, bytes]:
    index = Index.read(directory / "train.idx")
    with RecordReader(directory / "train.rec") as reader:
        return {
            key: reader.read(position)
            for key, position in zip(index.keys.tolist(), index.positions.tolist())
        }


def rewrite(directory: Path, changes: dict[int, bytes | None]) -> None:
    """Write the record file anew, with some records changed, added or left out."""
    records = {**records_of(directory), **changes}
    with RecordWriter(directory / "train.rec", directory / "train.idx") as writer:
        for key, payload in records.items():
            if payload is not None:
                writer.write(key, payload)


def test_synthetic_set_is_sound(pristine: Path) -> None:
    report = check(pristine)
    assert {finding.level for finding in report.findings} == {Level.OK}
    assert [finding.check for finding in report.findings] == [
        "property", "train.idx", "identities", "images", "lfw.bin", "cfp_fp.bin", "agedb_30.bin",
    ]  # fmt: skip
    facts = VerificationFacts(40, 20)
    assert report == Report(
        pristine, 4, 20, {"lfw": facts, "cfp_fp": facts, "agedb_30": facts}, report.findings
    )
    assert report.ok


def test_no_directory(tmp_path: Path) -> None:
    expect(tmp_path / "none", Level.ERROR, "directory", "is no directory")
    assert len(preflight(tmp_path / "none", 8)) == 1


@pytest.mark.parametrize("name", ["train.rec", "train.idx", "property"])
def test_missing_file(faces: Path, name: str) -> None:
    (faces / name).unlink()
    expect(faces, Level.ERROR, name, "is missing")
    assert [finding.check for finding in preflight(faces, 8)] == [name]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 lines"),
        ("4,112,112\n\n", "2 lines"),
        ("4,112\n", "three integers"),
        ("4,112,112,3\n", "three integers"),
        ("four,112,112\n", "three integers"),
        ("0,112,112\n", "below 1"),
        ("4,112,96\n", "96x112"),
        ("4,224,224\n", "224x224"),
        ("5,112,112\n", "5 classes, but train.rec has 4 identities"),
    ],
)
def test_property(faces: Path, text: str, words: str) -> None:
    (faces / "property").write_text(text)
    expect(faces, Level.ERROR, "property", words)


def test_labels_beyond_the_classes(faces: Path) -> None:
    (faces / "property").write_text("3,112,112\n")
    details = {f.check: f.detail for f in check(faces).findings if f.level is Level.ERROR}
    assert set(details) == {"property", "images"}
    assert "5 of 20 sampled images have a label that is no class" in details["images"]
    assert "image 16 has 3" in details["images"]


def test_truncated_record_file(faces: Path) -> None:
    whole = (faces / "train.rec").read_bytes()
    (faces / "train.rec").write_bytes(whole[:-4])
    details = [(f.check, f.detail) for f in check(faces).findings if f.level is Level.ERROR]
    assert [name for name, _ in details] == ["train.idx", "identities"]
    assert "4 bytes too early" in details[0][1]

    (faces / "train.rec").write_bytes(whole[: len(whole) // 2])
    checks = {f.check: f.detail for f in check(faces).findings if f.level is Level.ERROR}
    assert set(checks) == {"train.idx", "identities", "images"}
    assert "cut short" in checks["train.idx"]

    (faces / "train.rec").write_bytes(b"")
    assert not check(faces).ok
    assert preflight(faces, 8)


def test_stale_index(faces: Path) -> None:
    with (faces / "train.rec").open("ab") as file:
        file.write(b"\x0a\x23\xd7\xce" + bytes(4))
    expect(faces, Level.ERROR, "train.idx", "goes on for 8 bytes")


def change_index(directory: Path, lines: Iterable[str]) -> None:
    (directory / "train.idx").write_text("".join(lines))


def test_index_is_no_index(faces: Path) -> None:
    change_index(faces, ["hello\n"])
    expect(faces, Level.ERROR, "train.rec", "is no index")
    assert [finding.check for finding in preflight(faces, 8)] == ["train.rec"]


def test_index_with_a_key_twice(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines(keepends=True)
    change_index(faces, [*lines, lines[3]])
    expect(faces, Level.ERROR, "train.idx", "key 3", "more than once")


def test_index_without_a_key(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines(keepends=True)
    change_index(faces, lines[:7] + lines[8:])
    expect(faces, Level.ERROR, "train.idx", "1 of 25 keys", "first is 7")


def test_index_without_record_0(faces: Path) -> None:
    change_index(faces, (faces / "train.idx").read_text().splitlines(keepends=True)[1:])
    expect(faces, Level.ERROR, "train.rec", "no record 0")


def test_index_out_of_step(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines()
    key, position = lines[9].split("\t")
    lines[9] = f"{key}\t{int(position) + 2}"
    change_index(faces, (line + "\n" for line in lines))
    found = [f for f in check(faces).findings if f.level is Level.ERROR]
    assert [f.check for f in found] == ["train.idx", "images"]
    assert "no multiple of 4" in found[0].detail


@pytest.mark.parametrize(
    "header", [pack([21], 0), pack([21.5, 25], 0), pack([0, 4], 0), pack([25, 21], 0), b"short"]
)
def test_nonsense_in_record_0(faces: Path, header: bytes) -> None:
    rewrite(faces, {0: header})
    found = [f.check for f in check(faces).findings if f.level is Level.ERROR]
    assert found == ["train.rec"]


def test_records_that_nobody_needs(faces: Path) -> None:
    rewrite(faces, {99: pack(0, 99, encoded())})
    expect(faces, Level.WARNING, "train.idx", "1 records are neither")


@pytest.mark.parametrize(
    "changes",
    [
        {22: pack([6, 10], 22)},
        {22: pack([6, 12], 22)},
        {21: pack([1, 1], 21), 22: pack([1, 11], 22)},
    ],
)
def test_ranges_that_do_not_tile(faces: Path, changes: dict[int, bytes | None]) -> None:
    rewrite(faces, changes)
    expect(faces, Level.WARNING, "identities", "empty, or ranges overlap or leave gaps")


def test_image_in_place_of_an_identity(faces: Path) -> None:
    rewrite(faces, {22: pack(1, 22, encoded())})
    expect(faces, Level.ERROR, "identities", "record 22 is no identity")


def test_plain_record_file(faces: Path) -> None:
    images = {key: pack(key % 4, key, encoded()) for key in range(6)}
    rewrite(faces, {**dict.fromkeys(range(25)), **images})
    expect(faces, Level.WARNING, "train.rec", "every record for an image, all 6")
    report = check(faces)
    assert (report.identities, report.images) == (4, 6)


def test_images_of_another_order_of_classes(faces: Path) -> None:
    records = records_of(faces)
    swapped = {key: records[key + (5 if key < 6 else -5)] for key in range(1, 11)}
    rewrite(faces, dict(swapped))
    expect(faces, Level.WARNING, "images", "10 of 20", "first is image 1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "image 20 can't be decoded"),
        (b"garbage", "image 20 can't be decoded"),
        (encoded()[:300], "image 20 can't be decoded"),
        (undecodable_images()["gif"], "image 20 can't be decoded: MXNet does not read GIF images"),
        (undecodable_images()["webp"], "image 20 can't be decoded: MXNet does not read WEBP"),
        (encoded((96, 112)), "image 20 is 96x112, not 112x112"),
    ],
)
def test_unusable_image(faces: Path, content: bytes, words: str) -> None:
    rewrite(faces, {20: pack(3, 20, content)})
    expect(faces, Level.ERROR, "images", "1 of 20", words)


def test_images_that_mxnet_decodes(faces: Path) -> None:
    odd = odd_images()
    records = {key: pack((key - 1) // 5, key, odd.popitem()[1]) for key in range(1, 21)}
    while odd:
        changed = {key: pack((key - 1) // 5, key, odd.popitem()[1]) for key in range(1, 21) if odd}
        rewrite(faces, {**records, **changed})
        assert [f.detail for f in check(faces).findings if f.level is not Level.OK] == []


@pytest.mark.parametrize("label", [-1, 4, 0.5, float("nan")])
def test_label_that_is_no_class(faces: Path, label: float) -> None:
    rewrite(faces, {20: pack(label, 20, encoded())})
    found = [f for f in check(faces).findings if f.level is Level.ERROR]
    assert [f.check for f in found] == ["images"]
    assert f"image 20 has {label:g}" in found[0].detail


def test_missing_verification_sets(faces: Path) -> None:
    (faces / "lfw.bin").unlink()
    expect(faces, Level.WARNING, "lfw.bin", "is missing")
    (faces / "cfp_fp.bin").unlink()
    (faces / "agedb_30.bin").unlink()
    report = check(faces)
    assert report.findings[-1].check == "verification sets"
    assert report.ok
    assert not preflight(faces, 8)


def change_pairs(directory: Path, images: slice, same: list[bool]) -> None:
    pairs = read_verification_set(directory / "lfw.bin")
    write_verification_set(directory / "lfw.bin", pairs.images[images], same)


def test_odd_number_of_images(faces: Path) -> None:
    change_pairs(faces, slice(39), [True, False] * 10)
    expect(faces, Level.ERROR, "lfw.bin", "39 images, an odd number, for 20 pairs")


def test_more_images_than_pairs(faces: Path) -> None:
    change_pairs(faces, slice(40), [True, False] * 9 + [True])
    found = [f.detail for f in check(faces).findings if f.level is Level.ERROR]
    assert found == [
        "40 images, for 19 pairs, which need 38",
        "no different pair in fold 10 of 10: the script divides by their number",
    ]


def test_too_few_pairs(faces: Path) -> None:
    change_pairs(faces, slice(18), [True] * 9)
    expect(faces, Level.ERROR, "lfw.bin", "9 pairs are too few")


def test_fold_of_one_kind(faces: Path) -> None:
    change_pairs(faces, slice(40), [True] * 10 + [False] * 10)
    expect(faces, Level.ERROR, "lfw.bin", "no different pair in fold 1 of 10")
    assert [finding.check for finding in preflight(faces, 8)] == ["lfw.bin"]


def test_folds_are_those_of_the_script(faces: Path) -> None:
    # 21 pairs: the first fold has three, the others two.
    change_pairs(faces, slice(40), [True, True, False] + [True, False] * 9)
    details = [f.detail for f in check(faces).findings if f.level is Level.ERROR]
    assert details == ["40 images, for 21 pairs, which need 42"]


def test_unusable_verification_image(faces: Path) -> None:
    pairs = read_verification_set(faces / "lfw.bin")
    write_verification_set(faces / "lfw.bin", [*pairs.images[:-1], encoded((96, 112))], pairs.same)
    expect(faces, Level.ERROR, "lfw.bin", "1 of 16", "image 39 is 96x112")


def test_empty_and_hostile_verification_sets(faces: Path, tmp_path: Path) -> None:
    (faces / "lfw.bin").write_bytes(b"")
    expect(faces, Level.ERROR, "lfw.bin", "is no verification set")

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trap"),)

    (faces / "lfw.bin").write_bytes(pickle.dumps(Hostile(), protocol=2))
    expect(faces, Level.ERROR, "lfw.bin", "carries code")
    assert preflight(faces, 8)
    assert not (tmp_path / "trap").exists()


def test_preflight(pristine: Path) -> None:
    assert preflight(pristine, 20) == ()
    assert [finding.check for finding in preflight(pristine, 21)] == ["train.rec"]
    assert [finding.check for finding in preflight(pristine, 41, ["lfw"])] == [
        "train.rec", "lfw.bin",
    ]  # fmt: skip


def test_large_index_takes_seconds(faces: Path) -> None:
    keys = np.arange(400_000)
    np.savetxt(faces / "train.idx", np.stack([keys, 4 * keys], axis=1), "%d", delimiter="\t")
    start = time.monotonic()
    assert not check(faces).ok
    assert time.monotonic() - start < 5
