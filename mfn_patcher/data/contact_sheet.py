"""A contact sheet of a data set: images of some identities, and some verification pairs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image, ImageDraw, ImageFont

from mfn_patcher import files
from mfn_patcher.data.images import ImageProblem, load_image, spread
from mfn_patcher.data.making.source import has_folders_of_images
from mfn_patcher.data.making.training_files import identity_names
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.data.record_layout import read_layout
from mfn_patcher.data.recordio import Index, RecordIOError, RecordReader, unpack
from mfn_patcher.data.verification_set import read_verification_set, set_names
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.printable import one_line
from mfn_patcher.trainer.mfn_trainer.recordio import Record

COLUMNS = 8
_IDENTITIES = 8
_PAIRS = 8  # of each kind

_GAP, _LINE = 8, 20  # pixels
_TILE = IMAGE_SIDE
_WIDTH = _GAP + COLUMNS * (_TILE + _GAP)
_BACKGROUND, _TEXT, _MISSING = (255, 255, 255), (32, 32, 32), (208, 208, 208)
_FONT_SIZE = 14
# Draws names in Chinese, Japanese and Korean where it is installed.
_CJK_FONT = "NotoSansCJK-Regular.ttc"


class SheetError(MfnPatchError):
    """A data set cannot be shown."""


@dataclass(frozen=True)
class Tile:
    """One image of the sheet.

    Attributes:
        content: the encoded image.
        caption: text above it.
    """

    content: bytes
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """A line of text and up to `COLUMNS` images below it."""

    title: str
    tiles: tuple[Tile, ...] = ()


def choose(directory: Path) -> list[Row]:
    """Choose what to show: identities, images and pairs from all parts of a data set.

    Raises:
        SheetError: A file is missing or cannot be read.
        RecordIOError: The record file or its index is damaged.
        VerificationSetError: A verification set is damaged.
    """
    try:
        index = Index.read(directory / "train.idx")
        with RecordReader(directory / "train.rec") as reader:
            rows = list(_training(directory, reader, index))
    except OSError as error:
        remedy = "Give a directory that contains train.rec and train.idx."
        if directory.is_dir() and has_folders_of_images(directory):
            remedy = f"Make a data set of it first with `mfn-patch data make OUT {directory}`."
        raise SheetError(
            f"cannot read {error.filename}: {error.strerror}", remedy=remedy
        ) from error
    for name in set_names(directory):
        rows += _pairs(directory / f"{name}.bin")
    return rows


def _training(directory: Path, reader: RecordReader, index: Index) -> Iterator[Row]:
    layout = read_layout(reader, index)

    def record(key: int) -> Record:
        position = index.position(key)
        if position is None:
            raise RecordIOError(f"{directory / 'train.idx'} has no key {key}")
        return unpack(reader.read(position))

    if layout.identities is None:
        yield Row(f"{layout.images:,} images")
        chosen = [record(int(index.keys[n])) for n in spread(layout.images, 2 * COLUMNS)]
        tiles = [Tile(each.content, f"label {each.labels[0]:g}") for each in chosen]
        yield from _untitled(tiles)
        return
    names = identity_names(directory, layout.identities)
    yield Row(f"{layout.images:,} images of {layout.identities:,} identities")
    for number in spread(layout.identities, _IDENTITIES):
        labels = record(1 + layout.images + number).labels
        first, end = (int(label) for label in labels[:2])
        keys = [first + place for place in spread(end - first, COLUMNS)]
        records = [record(key) for key in keys]
        yield Row(
            _title(records, end - first, names), tuple(Tile(each.content) for each in records)
        )


def _title(records: Sequence[Record], images: int, names: Sequence[str]) -> str:
    title = f"{images:,} images"
    if records:
        label = records[0].labels[0]
        title = f"label {label:g}, {title}"
        if label.is_integer() and 0 <= label < len(names):
            title = f"{names[int(label)]}: {title}"
    return title


def _pairs(path: Path) -> Iterator[Row]:
    pairs = read_verification_set(path)
    count = min(len(pairs.same), len(pairs.images) // 2)
    kinds = {
        "same": [number for number in range(count) if pairs.same[number]],
        "different": [number for number in range(count) if not pairs.same[number]],
    }
    yield Row(f"{path.name}: {count:,} pairs, {len(kinds['same']):,} of the same person")
    tiles = []
    for kind, numbers in kinds.items():
        for place in spread(len(numbers), _PAIRS) if numbers else ():
            number = numbers[place]
            tiles += [
                Tile(pairs.images[2 * number], f"pair {number + 1}"),
                Tile(pairs.images[2 * number + 1], kind),
            ]
    yield from _untitled(tiles)


def _untitled(tiles: Sequence[Tile]) -> Iterator[Row]:
    for begin in range(0, len(tiles), COLUMNS):
        yield Row("", tuple(tiles[begin : begin + COLUMNS]))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the sheet.

    Args:
        rows: what to draw, from top to bottom.
        path: the PNG file, which is replaced if it exists.

    Raises:
        SheetError: The file cannot be written.
    """
    sheet = Image.new("RGB", (_WIDTH, _GAP + sum(map(_height, rows))), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    top = _GAP
    for row in rows:
        _draw_row(sheet, pen, row, top)
        top += _height(row)
    encoded = io.BytesIO()
    sheet.save(encoded, "PNG")
    try:
        files.write(path, encoded.getvalue())
    except OSError as error:
        raise SheetError(
            f"cannot write {path}: {error.strerror}", remedy="Give another file with -o."
        ) from error


def _captions(row: Row) -> bool:
    return any(tile.caption for tile in row.tiles)


def _height(row: Row) -> int:
    lines = bool(row.title) + _captions(row)
    return lines * _LINE + (bool(row.tiles) * _TILE) + _GAP


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    if row.title:
        _write(pen, (_GAP, top), row.title, _WIDTH - 2 * _GAP)
        top += _LINE
    below = top + _captions(row) * _LINE
    for column, tile in enumerate(row.tiles):
        left = _GAP + column * (_TILE + _GAP)
        _write(pen, (left, top), tile.caption, _TILE)
        image = _thumbnail(tile.content)
        if image:
            sheet.paste(image, (left, below))
        else:
            pen.rectangle((left, below, left + _TILE - 1, below + _TILE - 1), fill=_MISSING)
            _write(pen, (left + _GAP, below + _GAP), "unusable", _TILE - _GAP)


def _thumbnail(content: bytes) -> Image.Image | None:
    img = load_image(content)
    if isinstance(img, ImageProblem):
        return None
    return Image.fromarray(cv2.cvtColor(img, cv2.COLOR_BGR2RGB))


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int) -> None:
    """Write one line of text, cut to fit the width."""
    font, text = _font(one_line(text))
    if pen.textlength(text, font) > width:
        while text and pen.textlength(f"{text}...", font) > width:
            text = text[:-1]
        text += "..."
    pen.text(at, text, fill=_TEXT, font=font)


def _font(text: str) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, str]:
    """Return a font and a text that it can draw: characters that it lacks become escapes."""
    own = ImageFont.load_default(_FONT_SIZE)
    if text.isascii():
        return own, text
    try:
        return ImageFont.truetype(_CJK_FONT, _FONT_SIZE), text
    except OSError:
        return own, text.encode("latin-1", "backslashreplace").decode("latin-1")
