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
_PREFIX = re.compile(r"(?i:re:)|[\s:]|(\[[^\]]*\]\s?)")
# The characters that git strips from both ends of a name or an address. Later versions than 2.39
# leave the dot at the end of "Jr.", but a series must give the same commits with all of them.
_STRIPPED = "".join(map(chr, range(33))) + ".,:;<>\"\\'"


class MailError(ValueError):
    """A header that cannot be read."""


def decode(value: str) -> str:
    """Return the text of a header, with folded lines joined and RFC 2047 words decoded.

    Raises:
        MailError: an encoded word is invalid, or has an unknown encoding, or there is a NUL.
    """
    unfolded = re.sub(r"\r?\n[ \t]+", " ", value)
    joined = _BETWEEN_WORDS.sub(r"\1", unfolded)
    decoded = _WORD.sub(_decode_word, joined)
    if "\0" in decoded:
        raise MailError("the header contains a NUL character")
    return " ".join(decoded.split())


def subject(value: str) -> str:
    """Return the decoded subject, without a prefix such as ``Re: [PATCH 1/2]``."""
    text, kept = decode(value), ""
    while found := _PREFIX.match(text):
        text = text[found.end() :]
        if found[1] and "PATCH" not in found[1]:
            kept += found[1]
    return kept + text


def parse_person(value: str) -> tuple[str, str]:
    """Return name and address of ``Name <address>``, both empty if it has another form.

    The name may contain commas, colons and the like, quoted or not, but must have other characters.

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
    return (name, address) if in_commit(name) and in_commit(address) else ("", "")


def in_commit(text: str) -> str:
    """Return the name or address of a person as it is in a commit; git refuses an empty name."""
    return re.sub(r"[\n<>]", "", text.strip(_STRIPPED))


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
