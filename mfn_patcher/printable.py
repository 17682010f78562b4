"""Text from outside (logs, records, recipes, patches, names of files) made safe to show.

A terminal obeys what it is sent: an escape sequence can clear the screen, change the title or hide
text. Whatever is shown to people goes through here, in one way or another: see
`mfn_patcher.cli.terminal`.
"""

from __future__ import annotations

import json
import re

# Control characters but for tab and line feed, what reorders text, what ends a line in some
# programs only, and bytes that are not UTF-8, which Python keeps as surrogates.
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
    """Return `text` as `visible` does, with tabs and line feeds escaped as well."""
    return visible(text).replace("\t", r"\t").replace("\n", r"\n")


def csv_cell(value: object) -> object:
    """Return a value for a CSV file; a spreadsheet would run text that begins like a formula."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if _FORMULA.match(value) else visible(value)


def json_text(value: object, *, ascii_only: bool = False) -> str:
    """Return `value` as indented JSON, in which unsafe characters stand as JSON's escapes.

    Raises:
        ValueError: it holds a NaN or an infinity, which JSON has not.
    """
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":  # one byte of what is not UTF-8
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode()
