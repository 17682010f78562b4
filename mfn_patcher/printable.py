"""Making untrusted text (logs, records, recipes, patches, file names) safe to display.

Escape sequences can clear the screen, change the title or hide text. All output to people passes
through these functions, mostly by way of `mfn_patcher.cli.terminal`.
"""

from __future__ import annotations

import json
import re

# Control characters other than tab and line feed, characters that reorder text, those that only
# some programs treat as line ends, and bytes that are not UTF-8, which Python keeps as surrogates.
UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff"
)
_UNSAFE = re.compile(f"[{UNSAFE}]")
_FORMULA = re.compile(r"[=+\-@\t\r]")


def visible(text: str) -> str:
    r"""Return `text` with unsafe characters written as escapes, such as ``\x1b``."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return `text` like `visible`, with tabs and line feeds escaped as well."""
    return visible(text).replace("\t", r"\t").replace("\n", r"\n")


def counted(number: int, one: str, many: str) -> str:
    """Return a number and what it counts, such as ``1 patch`` or ``2 patches``."""
    return f"{number:,} {one if number == 1 else many}"


def csv_cell(value: object) -> object:
    """Return a value for a CSV file, safe to open in a spreadsheet, which would run formulas."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if _FORMULA.match(value) else visible(value)


def json_text(value: object, *, ascii_only: bool = False) -> str:
    """Return `value` as indented JSON, with unsafe characters as JSON escapes.

    Raises:
        ValueError: the value contains NaN or infinity, which JSON cannot represent.
    """
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode()
