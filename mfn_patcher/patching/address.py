"""Addresses of upstream: which are accepted, and which parts of them are secret."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

from mfn_patcher.errors import MfnPatchError

# In an HTTP address, everything before the "@" may be secret: tokens are often used as user names.
_LOGIN = re.compile(r"(?i)\b((?:https?|ftps?)://)[^/?#\s]*@")
_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/:@\s]*):[^/@\s]*@")
_QUERY = re.compile(r"(?i)\b((?:https?|ftps?)://[^\s'\"?#]*)[?#][^\s'\"]*")

# "helper::address" starts a program with that name. Of git's own helpers, ext runs any command and
# fd reads from a descriptor.
_HELPER = re.compile(r"(?i)[a-z0-9][a-z0-9+.-]*::|(?:ext|fd)://")


class AddressError(MfnPatchError):
    """An address that must not be passed to git."""


class Address(str):
    """An address of a repository, without password, token and query, so that it is safe to show.

    Attributes:
        url: the full address, for git only.

    Raises:
        AddressError: git could interpret the address as something other than a repository.
    """

    __slots__ = ("url",)
    url: str

    def __new__(cls, url: str) -> Address:
        """Check `url`, and store it beside its public part."""
        _check(url)
        address = super().__new__(cls, redact(url))
        address.url = url
        return address


def as_address(text: str) -> Address:
    """Return `text` as an address, checked unless it is one already."""
    return text if isinstance(text, Address) else Address(text)


def redact(text: str) -> str:
    """Return `text` without the passwords, tokens and queries of addresses that it contains."""
    return _QUERY.sub(r"\1", _PASSWORD.sub(r"\1@", _LOGIN.sub(r"\1", text)))


def _check(url: str) -> None:
    def wrong(reason: str) -> AddressError:
        return AddressError(
            f"cannot fetch from {redact(url)!r}: {reason}",
            remedy="Use an https://, ssh:// or file:// address, or the path of a clone or mirror.",
        )

    if not url:
        raise wrong("the address is empty")
    if url.startswith("-"):
        raise wrong("git would interpret it as an option")
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
            # The message must not show the supposed port: it may be half a password.
            raise AddressError(
                "cannot fetch from this address: its port is not a number",
                remedy="In user names and passwords, write '/', '?', '#' and ':' as %2F, %3F, %23 "
                "and %3A.",
            ) from None
        if not complete:
            raise wrong("it has no host")
