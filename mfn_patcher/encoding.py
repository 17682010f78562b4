"""The encoding of text from other programs: UTF-8, or what Windows writes."""

from __future__ import annotations

import codecs

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # Before UTF-16, whose mark is a prefix of these.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def detect(start: bytes) -> str:
    """Detect the encoding of a text from its first bytes.

    PowerShell's ``>`` writes UTF-16 with a byte order mark, and some editors put one before UTF-8.
    Without a mark, text is UTF-8, or UTF-16 if the first character has a zero byte.

    Args:
        start: at least four bytes, unless the text is shorter.
    """
    for mark, name in _BOMS.items():
        if start.startswith(mark):
            return name
    zeros = "".join("0" if byte == 0 else "x" for byte in start[:2])
    return {"x0": "utf-16-le", "0x": "utf-16-be"}.get(zeros, "utf-8")


def decode(content: bytes) -> str:
    """Decode a complete text.

    Raises:
        UnicodeDecodeError: the content is not valid in the detected encoding.
    """
    return content.decode(detect(content))
