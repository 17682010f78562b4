from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.data import contact_sheet
from mfn_patcher.data.contact_sheet import Row, SheetError, Tile, choose, draw
from mfn_patcher.data.making.data_set import Request, make
from mfn_patcher.data.recordio import RecordIOError, RecordWriter, pack
from mfn_patcher.data.verification_set import read_verification_set, write_verification_set
from tests.support.photos import draw_people
from tests.support.tool import Tool

pytestmark = pytest.mark.long


def titles(rows: list[Row]) -> list[str]:
    return [row.title for row in rows if row.title]


def pixels_at(path: Path, column: int, top: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    left = 8 + 120 * column
    return np.asarray(Image.open(path), dtype=np.int64)[top : top + 112, left : left + 112]


def test_a_synthetic_set(pristine: Path, tmp_path: Path) -> None:
    rows = choose(pristine)
    assert titles(rows) == [
        "20 images of 4 identities",
        *(f"label {label}, 5 images" for label in range(4)),
        *(f"{name}.bin: 20 pairs, 10 of the same person" for name in ("lfw", "cfp_fp", "agedb_30")),
    ]
    assert [len(row.tiles) for row in rows] == [0, 5, 5, 5, 5, *3 * [0, 8, 8, 8, 8]]
    pairs = read_verification_set(pristine / "lfw.bin")
    captions = [tile.caption for row in rows[6:10] for tile in row.tiles]
    contents = [tile.content for row in rows[6:10] for tile in row.tiles]
    for place in range(0, 32, 2):
        number = int(captions[place].removeprefix("pair ")) - 1
        assert captions[place + 1] == ("same" if pairs.same[number] else "different")
        assert tuple(contents[place : place + 2]) == pairs.images[2 * number : 2 * number + 2]
    assert captions[1::2] == ["same"] * 8 + ["different"] * 8

    draw(rows, tmp_path / "sheet.png")
    # Its own line, then that of the first identity, whose first image comes below.
    expected = np.asarray(Image.open(io.BytesIO(rows[1].tiles[0].content)), dtype=np.int64)
    shown = pixels_at(tmp_path / "sheet.png", 0, 8 + 20 + 8 + 20)
    assert np.abs(shown - expected).max() <= 3
    assert list(tmp_path.iterdir()) == [tmp_path / "sheet.png"]


def test_names_of_a_set_of_own_faces(tmp_path: Path) -> None:
    draw_people(tmp_path / "faces", people=12, photos=10)
    (tmp_path / "faces" / "person-00").rename(tmp_path / "faces" / "Ann\x1b[2J")
    made = tmp_path / "made"
    make(made, Request(tmp_path / "faces", ("40",)), on_progress=lambda *_: None)
    first, *rest = titles(choose(made))
    assert first == "100 images of 10 identities"
    assert rest[0] == "Ann\\x1b[2J: label 0, 10 images"
    assert rest[7].endswith(": label 9, 10 images")
    assert rest[8] == "own.bin: 40 pairs, 20 of the same person"


def test_a_set_without_identity_records(pristine: Path, tmp_path: Path) -> None:
    content = read_verification_set(pristine / "lfw.bin").images[0]
    with RecordWriter(tmp_path / "train.rec", tmp_path / "train.idx") as writer:
        for key in range(50):
            writer.write(key, pack(key // 5, key, content))
    rows = choose(tmp_path)
    assert titles(rows) == ["50 images"]
    captions = [tile.caption for row in rows for tile in row.tiles]
    assert (len(captions), captions[0], captions[-1]) == (16, "label 0", "label 9")


def test_images_that_cannot_be_used_are_gray(pristine: Path, tmp_path: Path) -> None:
    good = read_verification_set(pristine / "lfw.bin").images[0]
    large = io.BytesIO()
    Image.new("RGB", (200, 200), "red").save(large, "PNG")
    tiles = [Tile(content) for content in (good[:700], b"", large.getvalue(), good)]
    draw([Row("", tuple(tiles))], tmp_path / "sheet.png")
    for column in range(3):
        assert (pixels_at(tmp_path / "sheet.png", column, 8)[40:] == 208).all()
    assert (pixels_at(tmp_path / "sheet.png", 3, 8)[40:] != 208).any()


@pytest.mark.parametrize("font", [None, "NoSuchFont.ttc"])
def test_any_text_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, font: str | None
) -> None:
    if font:
        monkeypatch.setattr(contact_sheet, "_CJK_FONT", font)
    long = Row("é" * 2000)
    draw([Row("张三\n\x1b[31m\udcff\u202e"), long], tmp_path / "sheet.png")
    image = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (image[:, :-8] < 128).any()
    assert (image[:, -8:] == 255).all()


def test_damage_is_said(pristine: Path, faces: Path, tmp_path: Path) -> None:
    assert pristine.is_dir()
    with pytest.raises(SheetError, match=r"cannot read .*train\.idx"):
        choose(tmp_path)
    records = faces / "train.rec"
    records.write_bytes(records.read_bytes()[:5000])
    with pytest.raises(RecordIOError):
        choose(faces)
    with pytest.raises(SheetError, match="cannot write"):
        draw([], tmp_path / "none" / "sheet.png")


def test_an_index_that_lacks_an_image(faces: Path) -> None:
    index = faces / "train.idx"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(line for line in lines if not line.startswith("1\t")))
    with pytest.raises(RecordIOError, match=r"train\.idx has no key 1$") as raised:
        choose(faces)
    assert raised.value.remedy


def test_a_set_of_one_kind_and_odd_images(pristine: Path, faces: Path) -> None:
    images = read_verification_set(pristine / "lfw.bin").images
    write_verification_set(faces / "lfw.bin", images[:3], [True, True])
    rows = choose(faces)
    assert "lfw.bin: 1 pairs, 1 of the same person" in titles(rows)


def test_a_folder_of_photos(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "1.png").touch()
    with pytest.raises(SheetError) as raised:
        choose(tmp_path)
    assert f"`mfn-patch data make OUT {tmp_path}`" in raised.value.remedy


def test_show(pristine: Path, tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tool("data", "show", pristine)
    assert (ran.code, ran.out) == (0, "data.png\n")
    (tmp_path / "sheet.png").symlink_to("nowhere")
    for name, output in (("data.png", ()), ("sheet.png", ("-o", "sheet.png"))):
        ran = tool("data", "show", pristine, *output)
        assert (ran.code, ran.err) == (
            1,
            f"mfn-patch: {name} already exists\nChoose another name, or pass --overwrite.\n",
        )
    assert not (tmp_path / "nowhere").exists()
    assert tool("data", "show", pristine, "-o", "sheet.png", "--overwrite").code == 0
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "data.png").read_bytes()
    assert tool("data", "show", pristine, "-o", "sheet.jpg").code == 2
