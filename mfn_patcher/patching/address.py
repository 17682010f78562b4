"""Addresses of upstream: which forms are accepted, and what of one may be shown and kept."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

from mfn_patcher.errors import MfnPatchError

# Everything up to the "@" of an HTTP address can be a secret: tokens are often given as the name.
_LOGIN = re.compile(r"(?i)\b((?:https?|ftps?)://)[^/?#\s]*@")
_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/:@\s]*):[^/@\s]*@")
_QUERY = re.compile(r"(?i)\b((?:https?|ftps?)://[^\s'\"?#]*)[?#][^\s'\"]*")

# "helper::address" starts a program of that name; of git's own, ext runs any command and fd reads
# from a descriptor.
_HELPER = re.compile(r"(?i)[a-z0-9][a-z0-9+.-]*::|(?:ext|fd)://")


class AddressError(MfnPatchError):
    """An address that must not be given to git."""


class Address(str):
    """Where upstream is, as it may be printed and kept: without password, token and query.

    Attributes:
        url: the whole address, for git alone.

    Raises:
        AddressError: git could take it for something else than an address of a repository.
    """

    __slots__ = ("url",)
    url: str

    def __new__(cls, url: str) -> Address:
        """Check the form of `url`, and keep it beside what may be shown of it."""
        _check(url)
        address = super().__new__(cls, redact(url))
        address.url = url
        return address


def as_address(text: str) -> Address:
    """Return `text` as an address, checked; one that was checked already stays as it is."""
    return text if isinstance(text, Address) else Address(text)


def redact(text: str) -> str:
    """Return `text` without the passwords, tokens and queries of the addresses in it."""
    return _QUERY.sub(r"\1", _PASSWORD.sub(r"\1@", _LOGIN.sub(r"\1", text)))


def _check(url: str) -> None:
    def wrong(reason: str) -> AddressError:
        return AddressError(
            f"cannot fetch from {redact(url)!r}: {reason}",
            remedy="Give an https://, ssh:// or file:// address, or the path of a clone or mirror.",
        )

    if not url:
        raise wrong("the address is empty")
    if url.startswith("-"):
        raise wrong("git would take it for an option")
    if any(unicodedata.category(character) == "Cc" for character in url):
        raise wrong("it contains a control character")
    if _HELPER.match(url):
        raise wrong("it names a program, not a repository")
    place = Path(url)
    if place.exists() and not (place.is_dir() or place.is_file()):
        raise wrong("it is a pipe, socket or device")
    if url.lower().startswith(("http://", "https://")):
        try:
            complete = urlsplit(url).hostname and urlsplit(url).port != 0
        except ValueError:
            # The message must not show what was taken for the port: it may be half a password.
            raise AddressError(
                "cannot fetch from this address: its port is not a number",
                remedy="In user names and passwords, write '/', '?', '#' and ':' as %2F, %3F, %23 "
                "and %3A.",
            ) from None
        if not complete:
            raise wrong("it has no host")
