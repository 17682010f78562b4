from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from mfn_patcher.data.check import DataSetCheck, VerificationSetSize, check, preflight
from mfn_patcher.data.images import spread
from mfn_patcher.data.recordio import Index, pack
from mfn_patcher.data.synth import synthesise
from mfn_patcher.finding import Level
from tests.support.data_sets import encoded, expect, records_of, rewrite
from tests.support.odd_images import odd_images, undecodable_images


def test_synthetic_set_is_sound(pristine: Path) -> None:
    result = check(pristine)
    assert {finding.level for finding in result.findings} == {Level.OK}
    assert [finding.check for finding in result.findings] == [
        "property", "train.idx", "identities", "images", "lfw.bin", "cfp_fp.bin", "agedb_30.bin",
    ]  # fmt: skip
    size = VerificationSetSize(40, 20)
    assert result == DataSetCheck(
        pristine, 4, 20, {"lfw": size, "cfp_fp": size, "agedb_30": size}, result.findings
    )
    assert result.ok


def test_no_directory(tmp_path: Path) -> None:
    expect(tmp_path / "none", Level.ERROR, "directory", "is not a directory")
    assert len(preflight(tmp_path / "none", 8)) == 1


@pytest.mark.parametrize("name", ["train.rec", "train.idx", "property"])
def test_missing_file(faces: Path, name: str) -> None:
    (faces / name).unlink()
    expect(faces, Level.ERROR, name, "is missing")
    assert [finding.check for finding in preflight(faces, 8)] == [name]


def test_the_folder_of_images_instead(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "01.JPG").write_bytes(encoded())
    expect(tmp_path, Level.ERROR, "directory", "folders of images, which is not a data set yet")
    (found,) = preflight(tmp_path, 8)
    assert f"`mfn-patch data make OUT {tmp_path} --pairs 600`" in found.remedy


def test_the_folder_around_a_data_set(faces: Path) -> None:
    expect(faces.parent, Level.ERROR, "directory", f"no data set itself, but {faces} is one")
    (found,) = preflight(faces.parent, 8)
    assert found.remedy == f"Give {faces} instead."


def test_the_set_that_is_drawn(faces: Path) -> None:
    """A recipe measures it without further arguments."""
    (faces / "lfw.bin").rename(faces / "own.bin")
    for name in ("cfp_fp", "agedb_30"):
        (faces / f"{name}.bin").unlink()
    *_, found = check(faces).findings
    assert (found.level, found.check) == (Level.OK, "verification sets")
    assert "finetune-own measures own" in found.detail
    (faces / "own.bin").rename(faces / "mine.bin")
    expect(faces, Level.WARNING, "verification sets", "only if --target names it")
    (faces / "mine.bin").unlink()
    expect(faces, Level.WARNING, "verification sets", "none found")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 lines"),
        ("4,112,112\n\n", "2 lines"),
        ("\ufeff4,112,112\n", "begins with a byte order mark"),
        ("4,112\n", "must be three integers"),
        ("4,112,112,3\n", "must be three integers"),
        ("four,112,112\n", "must be three integers"),
        ("0,112,112\n", "below 1"),
        ("4,112,96\n", "96x112"),
        ("4,224,224\n", "224x224"),
    ],
)
def test_property(faces: Path, text: str, words: str) -> None:
    (faces / "property").write_text(text, encoding="utf-8")
    expect(faces, Level.ERROR, "property", words)


def test_a_single_class(tmp_path: Path) -> None:
    synthesise(tmp_path, identities=1, images_per_identity=8, pairs=20, sets=["lfw"])
    expect(tmp_path, Level.ERROR, "property", "a single class")


def test_more_classes_than_identity_records(faces: Path) -> None:
    (faces / "property").write_text("5,112,112\n")
    expect(faces, Level.WARNING, "property", "5 classes, but train.rec has 4 identity records")


def test_identities_in_several_places(faces: Path) -> None:
    """A list that is not sorted by label results in more identity records than classes."""
    records = records_of(faces)
    for key in range(16, 21):
        records[key] = pack(0, key, encoded())
    (faces / "property").write_text("3,112,112\n")
    rewrite(faces, dict(records))
    result = check(faces)
    assert result.ok
    assert "3 classes, but train.rec has 4 identity records" in str(result.findings)
    assert preflight(faces, 8) == ()


def test_labels_beyond_the_classes(faces: Path) -> None:
    (faces / "property").write_text("3,112,112\n")
    found = [f for f in check(faces).findings if f.level is Level.ERROR]
    assert [f.check for f in found] == ["images"]
    assert "5 of 20 sampled images have a label that is not a class (0 to 2)" in found[0].detail
    assert "image 16 has 3" in found[0].detail
    assert found[0].remedy.endswith("write 4 as the number of classes in property.")
    assert [f.check for f in preflight(faces, 8)] == ["images"]


def test_labels_from_1(faces: Path) -> None:
    records = {key: pack(1 + (key - 1) // 5, key, encoded()) for key in range(1, 21)}
    rewrite(faces, dict(records))
    found = preflight(faces, 8)
    assert [f.check for f in found] == ["images"]
    assert "Labels must start at 0, but these start at 1" in found[0].remedy


def test_truncated_record_file(faces: Path) -> None:
    whole = (faces / "train.rec").read_bytes()
    (faces / "train.rec").write_bytes(whole[:-4])
    details = [(f.check, f.detail) for f in check(faces).findings if f.level is Level.ERROR]
    assert [name for name, _ in details] == ["train.idx", "identities"]
    assert "4 bytes too early" in details[0][1]

    (faces / "train.rec").write_bytes(whole[: len(whole) // 2])
    checks = {f.check: f.detail for f in check(faces).findings if f.level is Level.ERROR}
    assert set(checks) == {"train.idx", "identities", "images"}
    assert "truncated" in checks["train.idx"]

    (faces / "train.rec").write_bytes(b"")
    assert not check(faces).ok
    assert preflight(faces, 8)


def test_a_damaged_record_that_is_not_sampled(tmp_path: Path) -> None:
    synthesise(tmp_path, identities=2, images_per_identity=150, pairs=20, sets=["lfw"])
    sampled = {1 + number for number in spread(300, 256)}
    position = Index.read(tmp_path / "train.idx").position(min({*range(1, 301)} - sampled))
    assert position
    with (tmp_path / "train.rec").open("r+b") as file:
        file.seek(position)
        file.write(bytes(4))
    assert not preflight(tmp_path, 8)
    expect(tmp_path, Level.ERROR, "train.rec", f"no magic number at {position}")


def test_stale_index(faces: Path) -> None:
    with (faces / "train.rec").open("ab") as file:
        file.write(b"\x0a\x23\xd7\xce" + bytes(4))
    expect(faces, Level.WARNING, "train.idx", "continues for 8 bytes")


def change_index(directory: Path, lines: Iterable[str]) -> None:
    (directory / "train.idx").write_text("".join(lines))


def test_index_is_no_index(faces: Path) -> None:
    change_index(faces, ["hello\n"])
    expect(faces, Level.ERROR, "train.rec", "is not a valid index: line 1 is 'hello'")
    assert [finding.check for finding in preflight(faces, 8)] == ["train.rec"]


def test_index_with_a_key_twice(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines(keepends=True)
    change_index(faces, [*lines, lines[3]])
    expect(faces, Level.WARNING, "train.idx", "key 3", "more than once")


@pytest.mark.parametrize("wrapped", [-(1 << 31), 1 << 32, 1 << 62, 1 << 63])
def test_index_of_positions_that_overflowed(faces: Path, wrapped: int) -> None:
    lines = [line.split("\t") for line in (faces / "train.idx").read_text().splitlines()]
    change_index(faces, (f"{key}\t{int(position) + wrapped}\n" for key, position in lines))
    assert not check(faces).ok
    assert preflight(faces, 8)


@pytest.mark.parametrize("ending", ["\r\n", "\tmore\n", " \n"])
def test_index_that_mxnet_reads(faces: Path, ending: str) -> None:
    lines = (faces / "train.idx").read_text().splitlines()
    (faces / "train.idx").write_bytes("".join(line + ending for line in lines).encode())
    assert {f.level for f in check(faces).findings} == {Level.OK}


def test_index_with_an_empty_line(faces: Path) -> None:
    """MXNet fails on an empty line, even at the end."""
    change_index(faces, [(faces / "train.idx").read_text(), "\n"])
    expect(faces, Level.ERROR, "train.rec", "is not a valid index: line 26 is ''")


def test_index_without_a_key(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines(keepends=True)
    change_index(faces, lines[:7] + lines[8:])
    expect(faces, Level.ERROR, "train.idx", "1 of 25 keys", "first is 7")


def test_index_without_record_0(faces: Path) -> None:
    change_index(faces, (faces / "train.idx").read_text().splitlines(keepends=True)[1:])
    expect(faces, Level.ERROR, "train.rec", "no record 0", "its keys start at 1")


def test_index_out_of_step(faces: Path) -> None:
    lines = (faces / "train.idx").read_text().splitlines()
    key, position = lines[9].split("\t")
    lines[9] = f"{key}\t{int(position) + 2}"
    change_index(faces, (line + "\n" for line in lines))
    found = [f for f in check(faces).findings if f.level is Level.ERROR]
    assert [f.check for f in found] == ["train.idx", "images"]
    assert "not a multiple of 4" in found[0].detail


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
    expect(faces, Level.WARNING, "identities", "empty, or the ranges overlap or leave gaps")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (pack(1, 22, encoded()), "it has one label"),
        (pack([6, 11], 22, encoded()), "it contains an image"),
        (pack([float("nan"), 11], 22), "has labels"),
    ],
)
def test_other_records_in_place_of_an_identity(faces: Path, record: bytes, words: str) -> None:
    rewrite(faces, {22: record})
    expect(faces, Level.ERROR, "identities", "record 22 ", words)


def test_an_identity_that_the_index_lacks(faces: Path) -> None:
    index = faces / "train.idx"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(line for line in lines if not line.startswith("22\t")))
    found = [each for each in check(faces).findings if each.level is Level.ERROR]
    assert [(each.check, each.detail) for each in found] == [
        ("train.idx", "1 of 25 keys are missing, the first is 22"),
        ("identities", "record 22 is missing"),
    ]


def test_several_labels_an_image(faces: Path) -> None:
    """im2rec packs images like this with --pack-label, without identity records."""
    images = {key: pack([float(key % 4), 1.0, 2.0], key, encoded()) for key in range(6)}
    rewrite(faces, {**dict.fromkeys(range(25)), **images})
    found = [f for f in check(faces).findings if f.level is Level.ERROR]
    assert [f.detail for f in found] == [
        "record 0 is an image with 3 labels, which the script reads as the range of the identity "
        "records"
    ]
    assert "--pack-label" in found[0].remedy


def test_several_labels_an_image_beside_identity_records(faces: Path) -> None:
    images = {key: pack([(key - 1) // 5, 7.5], key, encoded()) for key in range(1, 21)}
    rewrite(faces, dict(images))
    assert [f.detail for f in check(faces).findings if f.level is not Level.OK] == []


def test_plain_record_file(faces: Path) -> None:
    images = {key: pack(key % 4, key, encoded()) for key in range(6)}
    rewrite(faces, {**dict.fromkeys(range(25)), **images})
    expect(faces, Level.WARNING, "train.rec", "the script reads all 6 records as images")
    result = check(faces)
    assert (result.identities, result.images) == (4, 6)


def test_images_of_another_order_of_classes(faces: Path) -> None:
    records = records_of(faces)
    swapped = {key: records[key + (5 if key < 6 else -5)] for key in range(1, 11)}
    rewrite(faces, dict(swapped))
    expect(faces, Level.WARNING, "images", "10 of 20", "first is image 1")


def test_image_of_another_size(faces: Path) -> None:
    rewrite(faces, {20: pack(3, 20, encoded((96, 112)))})
    expect(faces, Level.ERROR, "images", "1 of 20", "image 20 is 96x112, not 112x112")
    assert [finding.check for finding in preflight(faces, 8)] == ["images"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "image 20 cannot be decoded"),
        (b"garbage", "image 20 cannot be decoded"),
        (encoded()[:300], "image 20 cannot be decoded"),
        (undecodable_images()["gif"], "image 20 cannot be decoded: MXNet does not read GIF images"),
        (undecodable_images()["webp"], "image 20 cannot be decoded: MXNet does not read WEBP"),
    ],
)
def test_undecodable_image(faces: Path, content: bytes, words: str) -> None:
    rewrite(faces, {20: pack(3, 20, content)})
    expect(faces, Level.WARNING, "images", "1 of 20", words)
    assert preflight(faces, 8) == ()


def test_undecodable_images_alone(faces: Path) -> None:
    gif = undecodable_images()["gif"]
    rewrite(faces, {key: pack((key - 1) // 5, key, gif) for key in range(1, 21)})
    expect(faces, Level.ERROR, "images", "20 of 20", "image 1 cannot be decoded")
    found = preflight(faces, 8)
    assert [(f.check, f.remedy) for f in found] == [
        ("images", "Convert the images to JPEG or PNG."),
    ]


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


def test_preflight(pristine: Path, tmp_path: Path) -> None:
    assert preflight(pristine, 20) == ()
    assert [finding.check for finding in preflight(pristine, 21)] == ["train.rec"]
    assert [finding.check for finding in preflight(pristine, 41, ["lfw"])] == [
        "train.rec", "lfw.bin",
    ]  # fmt: skip
    # One of two workers verifies, with batches of half the size.
    assert [finding.check for finding in preflight(pristine, 80, ["lfw"], 2)] == ["train.rec"]
    (_, small) = preflight(pristine, 82, ["lfw"], 2)
    assert (small.check, small.detail) == ("lfw.bin", "40 images are fewer than a batch of 41")
    found = preflight(pristine, 41, ["lfw"])
    assert {finding.remedy for finding in found} == {"Pass --batch-size 20 or less."}
    synthesise(tmp_path, identities=9, images_per_identity=5)
    (small,) = preflight(tmp_path, 45, ["lfw"])
    assert small.remedy == "Pass --batch-size 40 or less, or name other sets with -- --target."


def test_large_index_takes_seconds(faces: Path) -> None:
    keys = np.arange(400_000)
    np.savetxt(faces / "train.idx", np.stack([keys, 4 * keys], axis=1), "%d", delimiter="\t")
    start = time.monotonic()
    assert not check(faces).ok
    assert time.monotonic() - start < 5
