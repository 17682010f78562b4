"""Mail headers as ``git format-patch`` writes and ``git am`` reads them."""

from __future__ import annotations

import base64
import binascii
import email.utils
import quopri
import re

_WORD = re.compile(r"=\?([\w.:-]+)(?:\*[\w-]*)?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)\s+(?==\?[^?\s]+\?[bBqQ]\?)")
_PERSON = re.compile(r"(.*?)\s*<([^<>\s]+)>", re.DOTALL)
_SPECIAL = re.compile(r"[()<>\[\]:;@\\,.\"]")
_PREFIX = re.compile(r"(?:\[[^\]]*PATCH[^\]]*\]\s*)+")


class MailError(ValueError):
    """A header that cannot be read."""


def decode(value: str) -> str:
    """Return the text of a header, with folded lines joined and RFC 2047 words decoded.

    Raises:
        MailError: an encoded word is invalid, or has an unknown encoding.
    """
    unfolded = re.sub(r"\r?\n[ \t]+", " ", value)
    joined = _BETWEEN_WORDS.sub(r"\1", unfolded)
    return " ".join(_WORD.sub(_decode_word, joined).split())


def subject(value: str) -> str:
    """Return the decoded subject, without a prefix such as ``[PATCH 1/2]``."""
    return _PREFIX.sub("", decode(value), count=1)


def parse_person(value: str) -> tuple[str, str]:
    """Return name and address of ``Name <address>``, both empty if it has another form.

    The name may contain commas, colons and the like, quoted or not.

    Raises:
        MailError: as `decode`.
    """
    text = decode(value)
    found = _PERSON.fullmatch(text)
    if not found:
        return email.utils.parseaddr(text) if "(" in text else ("", "")
    name, address = found.groups()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name, address


def format_person(name: str, address: str) -> str:
    """Return ``Name <address>`` for a header, with the name quoted if necessary."""
    if _SPECIAL.search(name):
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        name = f'"{escaped}"'
    return f"{name} <{address}>"


def _decode_word(found: re.Match[str]) -> str:
    charset, form, text = found.groups()
    try:
        if form in "bB":
            content = base64.b64decode(text.encode("ascii"), validate=True)
        else:
            content = quopri.decodestring(text.encode("ascii"), header=True)
        return content.decode(charset)
    except (LookupError, UnicodeError, binascii.Error) as error:
        raise MailError(f"cannot decode {found[0]!r}: {error}") from error
