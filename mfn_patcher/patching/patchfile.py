"""Parsing of patch files, without git.

A patch file is a mail as ``git am`` reads it: ``From``, ``Date`` and ``Subject``, a body, a line
``---``, and a git diff with full blob ids. ``docs/patches.md`` describes the format.
"""

from __future__ import annotations

import codecs
import email.utils
import hashlib
import re
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import mail, unified
from mfn_patcher.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from email.message import Message
    from pathlib import Path

    from mfn_patcher.patching.unified import FilePatch

# What `git am` would not take for text of the message: where it ends a message or splits a file of
# mails, and further headers at the start.
NOT_TEXT = re.compile(
    r"^(?:---(?:[ \t]\S|[ \t]*$)|diff -|Index: |>?From .*\d:\d\d)"
    r"|\A(?:(?i:From|Subject|Date):|\[PATCH\]\s)",
    re.MULTILINE,
)
_NAME = re.compile(r"[a-z][a-z0-9]*/\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.patch")


class PatchFormatError(MfnPatchError):
    """A file of the project does not have the documented format.

    Attributes:
        problem: what is wrong, and where.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem), remedy="Run `mfn-patch lint` to list all problems.")
        self.problem = problem


@dataclass(frozen=True)
class Problem:
    """Something that is wrong in a file of the project.

    Attributes:
        path: the file.
        line: the line, from 1; 0 means the whole file.
        message: what is wrong.
    """

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return one_line(f"{place}: {self.message}")


@dataclass(frozen=True)
class Header:
    """The header of a patch.

    Attributes:
        author: the author's name.
        address: the author's mail address.
        date: when the patch was written, with a time zone.
        subject: the subject, without ``[PATCH]``.
        body: the text below the subject.
    """

    author: str
    address: str
    date: datetime
    subject: str
    body: str

    def paragraph(self, name: str) -> str:
        """Return the text of the paragraph that starts with `name` and a colon, on one line."""
        found = re.search(rf"^{re.escape(name)}:(.*(?:\n .*)*)", self.body, re.MULTILINE)
        return " ".join(found.group(1).split()) if found else ""

    def as_mail(self) -> bytes:
        """Return the header as it is in a patch file, up to the line before the diff.

        Raises:
            MfnPatchError: it contains bytes of the command line that are not UTF-8.
        """
        lines = [
            f"From: {mail.format_person(self.author, self.address)}",
            f"Date: {email.utils.format_datetime(self.date)}",
            f"Subject: {self.subject}",
            "",
            *([self.body] if self.body else []),
            "---",
            "",
        ]
        try:
            return "\n".join(lines).encode()
        except UnicodeEncodeError as error:
            raise MfnPatchError(
                f"{error.object[error.start - 8 : error.end]!r} in the header is not UTF-8 text",
                remedy="Write the author, the subject and the paragraphs in UTF-8.",
            ) from error


@dataclass(frozen=True)
class Patch:
    """One patch file, parsed.

    Attributes:
        name: the name in ``patches/series``, such as ``recipe/0001-fc7-without-bias.patch``.
        path: the patch file.
        header: the parsed header.
        data: the content of the patch file.
        diff: the part of `data` that starts at the first ``diff --git`` line.
        files: the changes, in the order in which git makes them.
    """

    name: str
    path: Path
    header: Header
    data: bytes
    diff: bytes
    files: tuple[FilePatch, ...]

    @property
    def stack(self) -> str:
        """The stack that the patch belongs to: the folder it is in."""
        return self.name.partition("/")[0]

    @property
    def digest(self) -> str:
        """The SHA-256 of the patch file, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the files that the patch changes, without duplicates."""
        return tuple(dict.fromkeys(file.path for file in self.files))


def is_patch(name: str) -> bool:
    """Return whether `name` has the form of a patch's name in a series."""
    return bool(_NAME.fullmatch(name))


def parse_patch(folder: Path, name: str) -> Patch:
    """Parse a patch file.

    Args:
        folder: the ``patches`` folder.
        name: the name in ``patches/series``.

    Raises:
        PatchFormatError: the file is missing or does not have the documented format.
    """
    path = folder / name
    if not is_patch(name):
        raise PatchFormatError(
            Problem(
                folder / "series", 0, f"{name!r} must have the form stack/NNNN-what-it-does.patch"
            )
        )
    data = read_bytes(path)
    head, _, _ = data.partition(b"\ndiff --git ")
    first_line = head.count(b"\n") + 2
    diff = data[len(head) + 1 :]
    if not diff:
        raise PatchFormatError(Problem(path, 0, "contains no git diff"))
    header = _parse_header(path, head)
    try:
        changes = unified.parse(diff, first_line)
    except unified.DiffError as error:
        raise PatchFormatError(Problem(path, error.line, str(error))) from error
    return Patch(name, path, header, data, diff, changes)


def read_text(path: Path) -> str:
    """Return the content of a file of the project, without a byte order mark.

    Raises:
        PatchFormatError: the file cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PatchFormatError(Problem(path, 0, f"not UTF-8 text: {error}")) from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a file of the project.

    Raises:
        PatchFormatError: the file cannot be read.
    """
    try:
        return files.read(path)
    except OSError as error:
        raise PatchFormatError(Problem(path, 0, f"cannot be read: {error.strerror}")) from error


def _parse_header(path: Path, head: bytes) -> Header:
    def wrong(message: str) -> PatchFormatError:
        return PatchFormatError(Problem(path, 1, message))

    if head.startswith(codecs.BOM_UTF8):
        raise wrong("the file begins with a byte order mark; save it as UTF-8 without one")
    if b"\0" in head:
        raise wrong("the header contains a NUL character")
    if b"\r" in head:
        raise wrong(
            "the header has CRLF line endings; only lines quoted from upstream may have them"
        )
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        raise wrong(f"the header is not UTF-8 text: {error}") from error
    text, mark, after = text.rpartition("\n---")
    if not mark or after.strip():
        raise wrong("the header must end with a line '---' directly before the diff")
    fields = HeaderParser().parsestr(text)
    if not _readable(fields):
        raise wrong("the mail is encoded; save it as UTF-8 with Content-Transfer-Encoding: 8bit")
    try:
        author, address = mail.parse_person(fields["From"] or "")
        subject = mail.subject(fields["Subject"] or "")
    except mail.MailError as error:
        raise wrong(str(error)) from error
    if not author or not address:
        raise wrong("the header must contain 'From: Name <address>'")
    date = _parse_date(fields["Date"] or "", wrong)
    if not subject:
        raise wrong("the header must contain 'Subject: What the patch does'")
    body = str(fields.get_payload()).strip("\n")
    if found := NOT_TEXT.search(body):
        line = body[found.start() :].partition("\n")[0]
        raise wrong(f"`git am` would not read {line!r} as text of the message; indent the line")
    return Header(author, address, date, subject, body)


def _parse_date(text: str, wrong: Callable[[str], PatchFormatError]) -> datetime:
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        raise wrong("the header must contain 'Date:' in mail format") from None
    if date.tzinfo is None:
        raise wrong("the date must have a UTC offset such as +0000")
    if date.timestamp() < 0:
        raise wrong("the date must not be before 1970, because git cannot store it")
    return date


def _readable(fields: Message) -> bool:
    """Return whether the body, and with it the diff, is not encoded."""
    encoding = str(fields.get("Content-Transfer-Encoding", "8bit")).strip().lower()
    charset = (fields.get_content_charset() or "utf-8").lower()
    return encoding in ("7bit", "8bit", "binary") and charset in ("utf-8", "us-ascii")
