"""Drawn faces: an identity is a set of proportions and colours, and an image is one view of it.

Eyes and mouth are about where alignment puts them in the published 112x112 data sets. Positions
and lengths are fractions of the side of the image, measured from its top left corner.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from mfn_patcher.data.property_file import IMAGE_SIDE

# Images are drawn at twice the size and then shrunk, which smooths the edges.
_CANVAS = 2 * IMAGE_SIDE
_QUALITY = 95

Colour = tuple[int, int, int]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Identity:
    """What all images of one identity have in common."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    half_width: float
    half_height: float
    squareness: float
    hairline: float
    hair_length: float
    eye_distance: float
    eye_height: float
    eye_size: float
    brow_thickness: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    beard: bool
    glasses: bool


def _colour(values: FloatArray) -> Colour:
    red, green, blue = (int(value) for value in np.clip(values, 0, 255))
    return red, green, blue


def _mix(one: tuple[int, ...], other: tuple[int, ...], share: float) -> FloatArray:
    return (1 - share) * np.asarray(one, dtype=float) + share * np.asarray(other, dtype=float)


def draw_identity(rng: np.random.Generator) -> Identity:
    """Draw the proportions and colours of an identity at random."""
    skin = _mix((88, 56, 40), (242, 206, 180), rng.uniform()) + rng.normal(0, 7, 3)
    hair = rng.choice(
        [(24, 20, 20), (62, 40, 26), (112, 74, 42), (188, 150, 92), (150, 62, 32), (165, 162, 160)]
    )
    iris = rng.choice([(52, 32, 20), (98, 66, 34), (70, 104, 148), (84, 122, 84), (120, 128, 134)])
    return Identity(
        skin=_colour(skin),
        hair=_colour(hair + rng.normal(0, 9, 3)),
        iris=_colour(iris + rng.normal(0, 9, 3)),
        lips=_colour(skin * rng.uniform(0.65, 0.9) + np.array([38, -8, 2])),
        half_width=rng.uniform(0.30, 0.40),
        half_height=rng.uniform(0.42, 0.50),
        squareness=rng.uniform(1.8, 3.0),
        hairline=rng.uniform(0.14, 0.30),
        hair_length=rng.uniform(0.25, 1.0),
        eye_distance=rng.uniform(0.135, 0.18),
        eye_height=rng.uniform(0.43, 0.49),
        eye_size=rng.uniform(0.045, 0.07),
        brow_thickness=rng.uniform(0.010, 0.032),
        brow_tilt=rng.uniform(-0.035, 0.035),
        nose_length=rng.uniform(0.13, 0.22),
        nose_width=rng.uniform(0.03, 0.065),
        mouth_height=rng.uniform(0.77, 0.84),
        mouth_width=rng.uniform(0.08, 0.15),
        lip_thickness=rng.uniform(0.014, 0.035),
        beard=bool(rng.binomial(1, 0.25)),
        glasses=bool(rng.binomial(1, 0.2)),
    )


class _Pen:
    """A canvas whose coordinates are fractions of its side."""

    def __init__(self, background: Colour) -> None:
        self.image = Image.new("RGB", (_CANVAS, _CANVAS), background)
        self._draw = ImageDraw.Draw(self.image)

    def oval(
        self,
        x: float,
        y: float,
        half_width: float,
        half_height: float,
        *,
        fill: Colour | None = None,
        outline: Colour | None = None,
    ) -> None:
        box = (x - half_width, y - half_height, x + half_width, y + half_height)
        self._draw.ellipse([_CANVAS * value for value in box], fill=fill, outline=outline, width=3)

    def shape(self, points: FloatArray, colour: Colour) -> None:
        self._draw.polygon([(x, y) for x, y in _CANVAS * points], fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, thickness: float) -> None:
        self._draw.line(
            [(_CANVAS * x, _CANVAS * y) for x, y in points],
            fill=colour,
            width=max(1, round(_CANVAS * thickness)),
            joint="curve",
        )


def _head(face: Identity, y: float, scale: float = 1.0) -> FloatArray:
    """Return the outline of the head, a superellipse, as an array of shape (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    power = 2 / face.squareness

    def along(direction: FloatArray, half: float) -> FloatArray:
        return scale * half * np.sign(direction) * np.abs(direction) ** power

    return np.stack(
        [0.5 + along(np.cos(angle), face.half_width), y + along(np.sin(angle), face.half_height)],
        axis=1,
    )


def _paint(face: Identity, rng: np.random.Generator, turn: float) -> Image.Image:
    pen = _Pen(_colour(rng.uniform(30, 225, 3)))
    # Turning the head moves its features, and those that stand out further move more.
    x = 0.5 + turn
    nod = rng.normal(0, 0.01)
    open_eyes = rng.uniform(0.45, 0.75)
    smile = rng.uniform(-0.01, 0.03)
    _paint_head(pen, face, x)
    for side in (-1, 1):
        _paint_eye(pen, face, side, (x, face.eye_height + nod), open_eyes)
    _paint_nose(pen, face, (x, face.eye_height + nod))
    _paint_mouth(pen, face, (x, face.mouth_height + nod), smile)
    return pen.image


def _dark(face: Identity) -> Colour:
    """Return the colour of shadows and contours."""
    return _colour(_mix(face.skin, (20, 5, 0), 0.35))


def _paint_head(pen: _Pen, face: Identity, x: float) -> None:
    """Paint hair, neck, skin and beard."""
    middle = 0.55
    pen.oval(0.5, 0.45, face.half_width + 0.06, 0.46, fill=face.hair)
    lock = np.array(
        [[-1, 0.4], [1, 0.4], [1, 0.4 + face.hair_length], [-1, 0.4 + face.hair_length]]
    )
    pen.shape(lock * [face.half_width + 0.055, 1] + [0.5, 0], face.hair)
    pen.shape(np.array([[0.33, 0.8], [0.67, 0.8], [0.8, 1.0], [0.2, 1.0]]), _dark(face))
    pen.shape(_head(face, middle), face.skin)
    if face.beard:
        jaw = _head(face, middle)
        jaw[:, 1] = np.maximum(jaw[:, 1], 0.70)
        pen.shape(jaw, _colour(_mix(face.skin, face.hair, 0.6)))
    fringe = _head(face, middle, 1.03)
    fringe[:, 1] = np.minimum(fringe[:, 1], face.hairline + 0.25 * np.abs(fringe[:, 0] - x))
    pen.shape(fringe, face.hair)


def _paint_eye(
    pen: _Pen, face: Identity, side: int, between: tuple[float, float], open_eyes: float
) -> None:
    """Paint an eye with its brow and the lens of glasses, left (-1) or right (1) of a point."""
    dark = _dark(face)
    x, y = between
    turn = x - 0.5
    eye_x = x + side * face.eye_distance
    height = face.eye_size * open_eyes
    pen.oval(eye_x, y, face.eye_size, height, fill=(236, 232, 226), outline=dark)
    look = eye_x + 0.15 * turn
    pen.oval(look, y, face.eye_size * 0.46, height * 0.9, fill=face.iris)
    pen.oval(look, y, face.eye_size * 0.2, face.eye_size * 0.2, fill=(12, 10, 10))
    brow_y = y - face.eye_size - 0.03
    inner = (eye_x - side * face.eye_size, brow_y + face.brow_tilt)
    outer = (eye_x + side * face.eye_size * 1.2, brow_y - face.brow_tilt / 2)
    pen.line([inner, outer], face.hair, face.brow_thickness)
    if face.glasses:
        pen.oval(eye_x, y, face.eye_distance * 0.72, 0.085, outline=(32, 30, 34))


def _paint_nose(pen: _Pen, face: Identity, between: tuple[float, float]) -> None:
    """Paint the nose below a point between the eyes, and the bridge of the glasses."""
    dark = _dark(face)
    x, y = between
    turn = x - 0.5
    if face.glasses:
        bridge = face.eye_distance * 0.28
        pen.line([(x - bridge, y), (x + bridge, y)], (32, 30, 34), 0.012)
    tip = (x + 0.4 * turn, y + face.nose_length)
    pen.line([(x - 0.01, y + 0.03), (tip[0] - face.nose_width, tip[1])], dark, 0.008)
    pen.oval(*tip, face.nose_width, 0.022, fill=_colour(_mix(face.skin, dark, 0.45)))


def _paint_mouth(pen: _Pen, face: Identity, middle: tuple[float, float], smile: float) -> None:
    x, y = middle
    corners = [(x - face.mouth_width, y - smile), (x + face.mouth_width, y - smile)]
    pen.oval(x, y, face.mouth_width * 0.92, face.lip_thickness + max(smile, 0), fill=face.lips)
    pen.line([corners[0], (x, y + smile / 2), corners[1]], _dark(face), 0.01)


def draw_image(face: Identity, rng: np.random.Generator, *, spread: float = 1.0) -> bytes:
    """Draw one view of an identity: its pose, expression, light, background and noise.

    Args:
        face: the identity.
        rng: generator that determines the view.
        spread: how far heads turn, relative to the training images.

    Returns:
        An RGB image of `IMAGE_SIDE` x `IMAGE_SIDE` pixels, encoded as JPEG.
    """
    turn = float(np.clip(rng.normal(0, 0.022 * spread), -0.08, 0.08))
    image = _paint(face, rng, turn)
    image = image.rotate(
        rng.normal(0, 3.5 * spread),
        resample=Image.Resampling.BICUBIC,
        translate=(round(rng.normal(0, 4)), round(rng.normal(0, 4))),
        fillcolor=image.getpixel((0, 0)),
    )
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6)))
    image = image.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.LANCZOS)

    pixels = np.asarray(image, dtype=np.float64)
    down, right = np.mgrid[-1 : 1 : IMAGE_SIDE * 1j, -1 : 1 : IMAGE_SIDE * 1j]
    direction = rng.uniform(0, 2 * np.pi)
    shade = rng.uniform(0.0, 0.4) * (np.cos(direction) * right + np.sin(direction) * down)
    light = (rng.uniform(0.7, 1.2) + shade)[..., None] * rng.normal(1, 0.04, 3)
    pixels = pixels * light + rng.normal(0, rng.uniform(2, 7), pixels.shape)

    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
        file, format="JPEG", quality=_QUALITY
    )
    return file.getvalue()
