from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.data.check import check
from mfn_patcher.data.making import data_set
from mfn_patcher.data.making.data_set import MadeDataSet, MakeError, Request
from mfn_patcher.data.making.pairs import PairError
from mfn_patcher.data.making.photo import LeftOut, Photo, Reason
from mfn_patcher.data.making.source import ListEncodingError, Source, SourceError
from mfn_patcher.data.recordio import Index, RecordReader, unpack
from mfn_patcher.data.synth import synthesise
from mfn_patcher.data.verification_set import read_verification_set
from mfn_patcher.finding import Level
from mfn_patcher.trainer.mfn_trainer.recordio import Record
from tests.support.odd_images import png_header

IN_A_PAIR = "has the same bytes as an image of someone in a verification pair"


def make(directory: Path, source: Path, *pairs: str, resize: bool = False) -> MadeDataSet:
    return data_set.make(directory, Request(source, pairs, resize), on_progress=lambda *_: None)


def records(directory: Path) -> list[Record]:
    with RecordReader(directory / "train.rec") as reader:
        return [unpack(payload) for _, payload in reader]


def images(directory: Path) -> list[Record]:
    every = records(directory)
    return every[1 : int(every[0].labels[0])]


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def left_out(directory: Path) -> dict[str, str]:
    lines = (directory / "left-out.tsv").read_text().splitlines()
    return {path: detail for path, _, detail in (line.split("\t") for line in lines)}


def test_the_layout_is_that_of_a_synthetic_set(people: Path, tmp_path: Path) -> None:
    made = make(tmp_path / "made", people)
    assert (made.identities, made.images, made.left_out) == (6, 36, {})
    assert (tmp_path / "made" / "property").read_bytes() == b"6,112,112\n"
    assert sorted(content_of(tmp_path / "made")) == [
        "identities.txt", "property", "train.idx", "train.lst", "train.rec",
    ]  # fmt: skip

    synthesise(tmp_path / "synthetic", identities=6, images_per_identity=6, sets=())
    index = Index.read(tmp_path / "made" / "train.idx")
    assert index.keys.tolist() == Index.read(tmp_path / "synthetic" / "train.idx").keys.tolist()
    with RecordReader(tmp_path / "made" / "train.rec") as reader:
        assert [position for position, _ in reader] == index.positions.tolist()
    for ours, theirs in zip(records(tmp_path / "made"), records(tmp_path / "synthetic")):
        assert (ours.flag, ours.labels, ours.id) == (theirs.flag, theirs.labels, theirs.id)
    files = [path for folder in sorted(people.iterdir()) for path in sorted(folder.iterdir())]
    assert [record.content for record in images(tmp_path / "made")] == [
        path.read_bytes() for path in files
    ]


def test_names_and_list(people: Path, tmp_path: Path) -> None:
    (people / "person-01").rename(people / "Zoë\n\x1b[31m")
    make(tmp_path / "made", people)
    names = (tmp_path / "made" / "identities.txt").read_text().splitlines()
    assert names[0] == "Zoë\\n\\x1b[31m"
    assert names[1:] == [f"person-0{n}" for n in (0, 2, 3, 4, 5)]
    lines = (tmp_path / "made" / "train.lst").read_text().splitlines()
    assert lines[6] == "7\t1\tperson-00/0.jpg"
    assert len(lines) == 36


def test_equal_input_gives_equal_bytes(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "one", people, "20")
    moved = Path(shutil.copytree(people, tmp_path / "elsewhere" / "faces"))
    monkeypatch.setattr("mfn_patcher.data.making.photo.cores", lambda: 7)
    make(tmp_path / "other", moved, "20")
    assert content_of(tmp_path / "one") == content_of(tmp_path / "other")


def test_a_list_is_a_source_too(people: Path, tmp_path: Path) -> None:
    lines = [
        f"faces/{path.parent.name}/{path.name}\t{path.parent.name}"
        for path in sorted(people.rglob("*.jpg"), key=lambda path: (path.name, path))
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n\n")
    # Identities take turns in the list, and follow one another in the records.
    make(tmp_path / "listed", tmp_path / "list.txt")
    make(tmp_path / "made", people)
    assert [r.content for r in images(tmp_path / "listed")] == [
        r.content for r in images(tmp_path / "made")
    ]
    assert records(tmp_path / "listed") == records(tmp_path / "made")
    names = [(tmp_path / name / "identities.txt").read_text() for name in ("listed", "made")]
    assert names[0] == names[1]


def test_what_cannot_be_used_is_listed(people: Path, tmp_path: Path) -> None:
    one = people / "person-00"
    whole = (one / "0.jpg").read_bytes()
    (one / "cut.jpg").write_bytes(whole[:-400])
    (one / "empty.jpg").write_bytes(b"")
    (one / "folder.jpg").mkdir()
    (one / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    (one / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0")
    (one / "notes.txt").write_text("hello")
    shutil.copy(one / "1.jpg", people / "stray.JPG")
    (one / ".hidden").write_text("ignored")
    (one / "noise.jpg").write_bytes(b"\xff\xd8" + os.urandom(2000))
    os.mkfifo(one / "pipe.jpg")
    Image.new("RGB", (250, 250)).save(one / "large.jpg")
    (one / "huge.png").write_bytes(png_header(20_000))
    (one / "same.jpg").write_bytes(whole)
    (people / "person-01" / "same.jpg").write_bytes(whole)
    (people / "nobody").mkdir()
    (people / "README").write_text("not a folder")
    made = make(tmp_path / "made", people)
    assert left_out(tmp_path / "made") == {
        "person-00/cut.jpg": "ends early",
        "person-00/empty.jpg": "is empty",
        "person-00/folder.jpg": "is a folder inside the folder of an identity",
        "person-00/phone.heic": "is HEIC: convert it to JPEG or PNG",
        "person-00/film.mp4": "is not an image",
        "stray.JPG": "is not in the folder of an identity",
        "person-00/notes.txt": "is not an image",
        "person-00/noise.jpg": "is not an image",
        "person-00/pipe.jpg": "cannot be read: it is a pipe, socket or device",
        "person-00/large.jpg": "is 250x250, not 112x112",
        "person-00/huge.png": "is 20000x20000, not 112x112",
        "person-00/same.jpg": "has the same bytes as person-00/0.jpg",
        "person-01/same.jpg": (
            "has the same bytes as person-00/0.jpg, which belongs to another identity"
        ),
    }
    assert made.left_out == {
        Reason.UNREADABLE: 7, Reason.WRONG_SIZE: 2, Reason.DUPLICATE: 2, Reason.FOLDER: 1,
        Reason.STRAY: 1,
    }  # fmt: skip
    assert (made.identities, made.images, made.empty, made.contradictions) == (6, 36, 1, 1)
    assert "nobody" not in (tmp_path / "made" / "identities.txt").read_text()
    findings = [f for f in check(tmp_path / "made").findings if f.level is Level.ERROR]
    assert findings == []


def test_other_formats_are_encoded_without_loss(people: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    one = people / "person-00"
    for file in one.iterdir():
        file.unlink()
    # Files must differ, or they would be duplicates; the formats see to that.
    for name in ("a.png", "b.bmp", "c.tiff", "d.webp"):
        Image.fromarray(pixels).save(one / name, lossless=True)
    made = make(tmp_path / "made", people)
    stored = images(tmp_path / "made")[:4]
    assert made.images == 34
    assert stored[0].content == (one / "a.png").read_bytes()
    for record in stored:
        image = Image.open(io.BytesIO(record.content))
        assert image.format == "PNG"
        assert (np.asarray(image) == pixels).all()


def test_deep_grey_values(people: Path, tmp_path: Path) -> None:
    """MXNet reads neither of these; of 16 bits, the upper 8 are used everywhere."""
    deep = np.random.default_rng(0).integers(0, 1 << 16, (112, 112), dtype=np.uint16)
    Image.fromarray(deep).save(people / "a.tif", compression="tiff_adobe_deflate")
    (people / "a.pgm").write_bytes(b"P5 112 112 65535\n" + deep.astype(">u2").tobytes())
    Image.fromarray(deep.astype(np.float32)).save(people / "float.tif")
    one = people / "person-00"
    for name in ("a.tif", "a.pgm", "float.tif"):
        (people / name).rename(one / f"!{name}")
    make(tmp_path / "made", people)
    assert left_out(tmp_path / "made") == {"person-00/!float.tif": "cannot be decoded"}
    for record in images(tmp_path / "made")[:2]:
        stored = np.asarray(Image.open(io.BytesIO(record.content)))
        assert (stored == (deep >> 8)[:, :, np.newaxis]).all()


def test_resize(people: Path, tmp_path: Path) -> None:
    one = people / "person-00"
    with Image.open(one / "0.jpg") as image:
        image.resize((224, 224), Image.Resampling.NEAREST).save(one / "large.png")
        image.resize((56, 56)).save(one / "small.png")
        image.resize((112, 100)).save(one / "wide.png")
        expected = np.asarray(image, dtype=int)
    made = make(tmp_path / "made", people, resize=True)
    assert left_out(tmp_path / "made") == {
        "person-00/wide.png": "is 112x100; scaling would distort the face"
    }
    assert made.images == 38
    large = Image.open(io.BytesIO(images(tmp_path / "made")[6].content))
    small = Image.open(io.BytesIO(images(tmp_path / "made")[7].content))
    assert np.abs(np.asarray(large, dtype=int) - expected).max() <= 1
    assert small.size == (112, 112)
    assert np.abs(np.asarray(small, dtype=int) - expected).mean() < 10


def test_people_in_pairs_are_not_trained_on(people: Path, tmp_path: Path) -> None:
    make(tmp_path / "before", people, "24")
    trained = set((tmp_path / "before" / "identities.txt").read_text().splitlines())
    held_out = sorted({f"person-0{n}" for n in range(6)} - trained)
    assert len(held_out) == 2
    # More than the pairs can use: those that no pair has are left out as well.
    noise = np.random.default_rng(0).integers(0, 256, (60, 112, 112, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(people / held_out[0] / f"noise-{number}.png")
        shutil.copy(people / held_out[0] / f"noise-{number}.png", people / min(trained))

    made = make(tmp_path / "made", people, "24")
    assert (made.identities, made.images, made.held_out) == (4, 24, 2)
    assert left_out(tmp_path / "made") == {
        f"{min(trained)}/noise-{number}.png": IN_A_PAIR for number in range(60)
    }
    pairs = read_verification_set(tmp_path / "made" / "own.bin")
    assert sum(pairs.same) == 12
    owners = {
        path.read_bytes(): path.parent.name
        for name in held_out
        for path in (people / name).iterdir()
    }
    for number, same in enumerate(pairs.same):
        one, other = pairs.images[2 * number : 2 * number + 2]
        assert one != other
        assert (owners[one] == owners[other]) == same
    together = {frozenset(pairs.images[2 * n : 2 * n + 2]) for n in range(24)}
    assert len(together) == 24
    for fold in np.array_split(pairs.same, 10):
        assert 0 < np.sum(fold) < len(fold)


def test_a_pair_of_an_image_that_cannot_be_used(people: Path, tmp_path: Path) -> None:
    """Nothing is left out of pairs that the user has chosen."""
    shown = [f"person-0{person}/{photo}.jpg" for person in (0, 1) for photo in range(6)]
    lines = [f"{one}\t{other}" for one in shown[:6] for other in shown]
    (tmp_path / "own.txt").write_text("".join(f"{line}\n" for line in lines))
    (people / "person-01" / "2.jpg").write_bytes(b"no image")
    with pytest.raises(PairError, match=r"line \d+ of \S*own.txt: \S+2.jpg ") as raised:
        make(tmp_path / "made", people, str(tmp_path / "own.txt"))
    assert raised.value.remedy == "Replace the image, or remove the pair."
    assert not (tmp_path / "made").exists()


def test_nobody_is_paired_with_a_copy(people: Path, tmp_path: Path) -> None:
    for person in people.iterdir():
        shutil.copy(person / "0.jpg", person / "copy.jpg")
    make(tmp_path / "made", people, "60")
    assert sorted(left_out(tmp_path / "made").values()).count(IN_A_PAIR) == 2
    pairs = read_verification_set(tmp_path / "made" / "own.bin")
    assert len(set(pairs.images)) == 12


def test_progress_counts_every_file_to_the_end(people: Path, tmp_path: Path) -> None:
    seen = []
    data_set.make(
        tmp_path / "made",
        Request(people, ("24",)),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 36) for done in range(1, 37)]


@pytest.mark.parametrize(
    ("damage", "pairs", "message"),
    [
        ("", ("19",), "--pairs 19: too few"),
        ("", ("20", "30"), "two verification sets would be called own"),
        ("", ("a b.txt",), "cannot name a verification set"),
        ("", ("none.txt",), "cannot read none.txt: No such file"),
        ("", ("600",), "600 pairs cannot be drawn: .* 2 with 12 images, which make 60 pairs"),
        ("size", (), "0 of 6 identities are left .* first is person-00/0.jpg, which is 250x250"),
        ("size", ("20",), "no image of the 2 people .* which is 250x250"),
        ("one", (), "1 of 1 identities are left to train on, and there must be 2"),
        ("empty", (), "contains no identities"),
        ("nested", (), "0 of 1 .* first is deep/person-00, which is a folder inside the folder"),
        ("nested", ("20",), "no image of the 1 people .* is a folder inside the folder"),
        ("single", ("20",), "20 pairs cannot be drawn: no identity has two images"),
    ],
)
def test_refused(
    people: Path, tmp_path: Path, *, damage: str, pairs: tuple[str, ...], message: str
) -> None:
    for path in people.rglob("*.jpg") if damage == "size" else ():
        Image.new("RGB", (250, 250)).save(path)
    for path in people.iterdir():
        if damage == "empty" or (damage == "one" and path.name != "person-00"):
            shutil.rmtree(path)
        if damage == "single":
            for photo in sorted(path.iterdir())[1:]:
                photo.unlink()
    if damage == "nested":
        people = Path(shutil.move(people, tmp_path / "all" / "deep")).parent
    with pytest.raises((MakeError, PairError, SourceError), match=message) as raised:
        make(tmp_path / "made", people, *pairs)
    assert raised.value.remedy
    assert raised.value.exit_code == 1
    assert not (tmp_path / "made").exists()


def test_no_photo_is_usable(people: Path, tmp_path: Path) -> None:
    remedies = []
    for resize in (False, True):
        for path in people.rglob("*.jpg"):
            Image.new("RGB", (250, 200)).save(path)
        with pytest.raises(MakeError, match=r"0 of 6 .* is 250x200") as raised:
            make(tmp_path / "made", people, resize=resize)
        remedies.append(raised.value.remedy)
    for path in people.rglob("*.jpg"):
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    with pytest.raises(MakeError, match=r"0 of 6 .* is HEIC: convert it") as raised:
        make(tmp_path / "made", people)
    assert [*remedies, raised.value.remedy] == [
        "Align the faces to 112x112 pixels, or scale aligned ones with --resize.",
        "Align the faces to 112x112 pixels.",
        "Save the images as JPEG or PNG, one face each.",
    ]


@pytest.mark.parametrize("what", ["folder", "list"])
@pytest.mark.parametrize("there", [False, True])
def test_source_and_data_set_swapped(
    people: Path, tmp_path: Path, *, what: str, there: bool
) -> None:
    (tmp_path / "list.txt").write_text("faces/person-00/0.jpg\tAnn\n")
    source = people if what == "folder" else tmp_path / "list.txt"
    out = tmp_path / "my data"
    if there:
        out.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MakeError, match="where the data set would go, looks like the s") as raised:
        make(source, out)
    assert raised.value.remedy.endswith(f"`mfn-patch data make '{out}' {source}`.")
    assert sorted(tmp_path.rglob("*")) == before


def test_sources_that_are_none(people: Path, tmp_path: Path) -> None:
    for source, message in (
        ("faces/person-00/0.jpg", "is an image"),
        ("none", "cannot read .*none"),
    ):
        with pytest.raises(SourceError, match=message) as raised:
            make(tmp_path / "made", tmp_path / source)
        assert "one folder of images per identity" in raised.value.remedy


def test_a_list_with_another_number_of_columns(people: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("faces/a.jpg\tAnn\n\nfaces/b.jpg\tAnn\t2018\n")
    with pytest.raises(SourceError, match=r"line 3 of \S+ has 3 columns, not a path") as raised:
        make(tmp_path / "made", tmp_path / "list.txt")
    assert "a path, a tab and an identity" in raised.value.remedy
    assert not (tmp_path / "made").exists()


def test_lists_and_folders_as_windows_and_macos_write_them(people: Path, tmp_path: Path) -> None:
    names = ["张 三", "Bob O'Neil", "Zoë", "a,b", "-x", "*"]
    for folder, name in zip(sorted(people.iterdir()), names):
        folder.rename(people / name)
        (people / name / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (people / name / "._0.jpg").write_bytes(b"\0\5\x16\7")
    (people / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (people / "__MACOSX").mkdir()
    rows = [f"{name}/{n}.jpg\t{name}/{n + 1}.jpg" for name in names[:2] for n in range(5)]
    rows += [f"{names[0]}/{n}.jpg\t{names[1]}/{m}.jpg" for n in range(6) for m in range(2)]
    (tmp_path / "pairs.txt").write_text("\r\n".join(rows), encoding="utf-8-sig")
    made = make(tmp_path / "made", people, str(tmp_path / "pairs.txt"))
    assert (made.identities, made.images, made.left_out) == (4, 24, {})
    assert (made.verification_sets["pairs"].pairs, made.verification_sets["pairs"].same) == (22, 10)
    identities = (tmp_path / "made" / "identities.txt").read_text(encoding="utf-8")
    assert identities.splitlines() == ["*", "-x", "Zoë", "a,b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_lists_in_an_encoding_of_windows(people: Path, tmp_path: Path, encoding: str) -> None:
    one, other = (f"faces/person-0{number}/0.jpg" for number in (0, 1))
    (tmp_path / "list.txt").write_bytes(f"{one}\tAnn\r\n{other}\t安\r\n".encode(encoding))
    (tmp_path / "pairs.txt").write_bytes(f"{one}\t{other}\r\n".encode(encoding))
    for source, pairs in ((tmp_path / "list.txt", ()), (people, (str(tmp_path / "pairs.txt"),))):
        with pytest.raises(ListEncodingError, match=rf"txt is {encoding.upper()} text") as raised:
            make(tmp_path / "made", source, *pairs)
        assert raised.value.remedy == "Save it as UTF-8."
    assert not (tmp_path / "made").exists()


def test_lists_with_names_that_do_not_exist(people: Path, tmp_path: Path) -> None:
    """As those in another encoding than the names of the files do not."""
    (people / "person-00").rename(people / "张三")
    (tmp_path / "list.txt").write_bytes("faces/张三/0.jpg\tAnn\r\nfaces/no.jpg\tBob".encode("gbk"))
    with pytest.raises(MakeError, match=r"d5\\xc5.*0.jpg, which does not exist") as error:
        make(tmp_path / "made", tmp_path / "list.txt")
    assert "save it as UTF-8" in error.value.remedy
    (tmp_path / "pairs.txt").write_bytes("张三/0.jpg\t张三/1.jpg".encode("gbk"))
    with pytest.raises(PairError, match="does not exist in") as raised:
        make(tmp_path / "made", people, str(tmp_path / "pairs.txt"))
    assert raised.value.remedy == "Save the list as UTF-8."


@pytest.mark.parametrize("where", ["faces", "faces/out"])
def test_not_into_the_source(people: Path, tmp_path: Path, where: str) -> None:
    before = sorted(people.rglob("*"))
    with pytest.raises(MakeError, match="is inside"):
        make(tmp_path / where, people)
    assert sorted(people.rglob("*")) == before


def test_nothing_is_overwritten(people: Path, tmp_path: Path) -> None:
    (tmp_path / "own.bin").write_text("precious")
    make(tmp_path, people)
    for name in ("train.rec", "train.idx", "train.lst", "identities.txt", "property"):
        (tmp_path / name).unlink()
    with pytest.raises(MakeError, match=r"already contains own\.bin; nothing"):
        make(tmp_path, people, "20")
    assert (tmp_path / "own.bin").read_text() == "precious"


def test_rerun_after_a_kill(people: Path, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from mfn_patcher.data.making.data_set import Request, make\n"
        "def kill(done, total):\n"
        "    if done == 20:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "make(pathlib.Path(sys.argv[1]), Request(pathlib.Path(sys.argv[2])), on_progress=kill)\n"
    )
    out = tmp_path / "made"
    killed = subprocess.run([sys.executable, "-c", program, out, people], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "train.rec").exists()
    make(out, people)
    make(tmp_path / "again", people)
    assert content_of(out) == content_of(tmp_path / "again")


@pytest.mark.long
def test_memory_does_not_grow_with_the_images(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything except decoding, on 5,000 and on 20,000 images."""

    def peak(count: int) -> int:
        class Many(Source):
            root = people
            names = tuple(f"{n}" for n in range(count // 20))
            counts = (20,) * (count // 20)

            def paths(self, identity: int) -> Iterator[str]:
                return (f"{identity}/{n}" for n in range(20))

            def identities_of(self, paths: object) -> dict[str, int]:
                return {}

        monkeypatch.setattr(data_set, "open_source", lambda _: Many())
        tracemalloc.start()
        made = make(tmp_path / f"{count}", people)
        assert made.images == count
        most = tracemalloc.get_traced_memory()[1]
        lines = (tmp_path / f"{count}" / "train.lst").read_text().splitlines()
        expected = [f"{n + 1}\t{n // 20}\t{n // 20}/{n % 20}" for n in range(count)]
        assert lines == expected
        return most

    def check_photo(path: str, *, resize: bool) -> Photo | LeftOut:
        assert not resize
        return Photo(path, b"x" * 2000, abs(hash(path)))

    monkeypatch.setattr("mfn_patcher.data.making.photo.check_photo", check_photo)
    small, large = peak(5_000), peak(20_000)
    tracemalloc.stop()
    # 15,000 images more, which would be 30 MB if they were kept.
    assert large - small < 15_000 * 100
