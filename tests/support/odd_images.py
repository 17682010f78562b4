"""Images that decoders treat differently: turned, incomplete, in other colours and formats."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

SIDE = 112
_EXIF_HEADER = b"Exif\0\0"


def face(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """Draw blurred spots with noise, which look different from each side."""
    rng = np.random.default_rng(seed)
    spots = Image.fromarray(rng.integers(0, 255, (7, 9, 3), dtype=np.uint8))
    pixels = np.asarray(spots.resize(size, Image.Resampling.BICUBIC)).astype(int)
    noisy = pixels + rng.integers(-9, 9, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(side: int) -> bytes:
    """Return the beginning of a square PNG, up to its pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    ended = chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + ended + b"\0\0\0\x09IDAT"


def exif(orientation: int, order: str = "<") -> bytes:
    """Return the EXIF block of an orientation, little or big endian."""
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    entry = struct.pack(f"{order}HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)
    return _EXIF_HEADER + head + entry


def as_cameras_write(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    """Put EXIF in the place of the JFIF header."""
    end = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    block = exif(orientation, order)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + jpeg[end:]


def odd_images(size: tuple[int, int] = (SIDE, SIDE)) -> dict[str, bytes]:
    """Return images that MXNet decodes to that size, unless they are turned on their side."""
    image = face(size=size)
    jpeg = encode(image, "JPEG", quality=90)
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(size))
    palette = image.quantize(64)
    deep = np.asarray(image)[..., ::-1].astype(np.uint16) * 200 + 77
    found = {
        "jpeg": jpeg,
        "jpeg with data behind": jpeg + b"more",
        "jpeg, no header": jpeg[:2] + jpeg[4 + struct.unpack_from(">H", jpeg, 4)[0] :],
        "jpeg, gray": encode(image.convert("L"), "JPEG"),
        "jpeg, cmyk": encode(image.convert("CMYK"), "JPEG"),
        "jpeg, progressive": encode(image, "JPEG", progressive=True),
        "jpeg, no chroma subsampling": encode(image, "JPEG", subsampling=0),
        "jpeg, restart markers": encode(image, "JPEG", restart_marker_blocks=3),
        "png": encode(image, "PNG"),
        "png, gray": encode(image.convert("L"), "PNG"),
        "png, black and white": encode(image.convert("1"), "PNG"),
        "png, rgba": encode(alpha, "PNG"),
        "png, gray and alpha": encode(alpha.convert("LA"), "PNG"),
        "png, palette": encode(palette, "PNG"),
        "png, 4 colours": encode(image.quantize(4), "PNG", bits=2),
        "png, palette, a colour transparent": encode(palette, "PNG", transparency=3),
        "png, 16 bit": cv2.imencode(".png", deep)[1].tobytes(),
        "png, 16 bit gray": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "png, animated": encode(image, "PNG", save_all=True, append_images=[face(1, size)]),
        "bmp": encode(image, "BMP"),
        "bmp, palette": encode(palette, "BMP"),
        "bmp, rgba": encode(alpha, "BMP"),
        "tiff": encode(image, "TIFF"),
        "tiff, lzw": encode(image, "TIFF", compression="tiff_lzw"),
        "tiff, cmyk": encode(image.convert("CMYK"), "TIFF"),
    }
    for orientation in range(1, 9):
        turned = Image.Exif()
        turned[0x112] = orientation
        found[f"jpeg, jfif, orientation {orientation}"] = encode(image, "JPEG", exif=turned)
        for order, name in (("<", "little"), (">", "big")):
            camera = as_cameras_write(jpeg, orientation, order)
            found[f"jpeg, camera, {name} endian, orientation {orientation}"] = camera
        half = as_cameras_write(jpeg, orientation)[: len(jpeg) // 2]
        found[f"jpeg, camera, half, orientation {orientation}"] = half
        found[f"png, orientation {orientation}"] = encode(image, "PNG", exif=turned)
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x112] = orientation
        found[f"tiff, orientation {orientation}"] = encode(image, "TIFF", tiffinfo=tags)
    for kind in ("jpeg", "jpeg, gray", "jpeg, cmyk", "jpeg, restart markers"):
        whole = found[kind]
        for cut in (0.5, 0.7, 0.9, 0.99):
            found[f"{kind}, {cut:.0%} of it"] = whole[: int(cut * len(whole))]
        for missing in (1, 2, 3):
            found[f"{kind}, without the last {missing}"] = whole[:-missing]
    return found


def undecodable_images() -> dict[str, bytes]:
    """Return images that MXNet cannot decode, or for which it returns uninitialised memory."""
    image = face()
    jpeg, png = encode(image, "JPEG", quality=90), encode(image, "PNG")
    progressive = encode(image, "JPEG", progressive=True)
    broken = bytearray(png)
    broken[len(png) // 2] ^= 255
    found = {
        "nothing": b"",
        "text": b"no image",
        "zeros": bytes(1000),
        "webp": encode(image, "WEBP"),
        "webp, lossless": encode(image, "WEBP", lossless=True),
        "gif": encode(image, "GIF"),
        "gif, animated": encode(image, "GIF", save_all=True, append_images=[face(1)]),
        "jpeg 2000": encode(image, "JPEG2000"),
        "ppm": encode(image, "PPM"),
        "tiff, deflate": encode(image, "TIFF", compression="tiff_adobe_deflate"),
        "tiff, jpeg": encode(image, "TIFF", compression="jpeg"),
        "png, broken": bytes(broken),
        "png, wrong checksum": _with_checksum(png),
        "jpeg, header alone": jpeg[: jpeg.index(b"\xff\xda") + 14],
        "jpeg, not a row": jpeg[: jpeg.index(b"\xff\xda") + 30],
    }
    for cut in (0.02, 0.1, 0.5, 0.9):
        found[f"png, {cut:.0%} of it"] = png[: int(cut * len(png))]
    for cut in (0.02, 0.1):
        found[f"jpeg, {cut:.0%} of it"] = jpeg[: int(cut * len(jpeg))]
    for cut in (0.3, 0.6, 0.95):
        found[f"jpeg, progressive, {cut:.0%} of it"] = progressive[: int(cut * len(progressive))]
    return found


def _with_checksum(png: bytes) -> bytes:
    """Make the checksum of the header a wrong one."""
    wrong = zlib.crc32(png[12:29]) ^ 1
    return png[:29] + struct.pack(">I", wrong) + png[33:]
