"""Patch files and their series: parsing and offline checks. This module knows no git.

A patch file is a mail as ``git am`` reads it: ``From``, ``Date`` and ``Subject``, a body with
the paragraphs ``Why:``, ``Origin:`` and ``Effect:``, a line ``---``, and a git diff with full
blob ids. ``docs/patches.md`` describes the format.
"""

from __future__ import annotations

import email.utils
import hashlib
import re
from dataclasses import dataclass, field
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import mail, unified

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from email.message import Message
    from pathlib import Path

    from mfn_patcher.patching.unified import FilePatch

PARAGRAPHS = ("Why", "Origin", "Effect")
SUBJECT_LENGTH = 72

_NAME = re.compile(r"(?P<stack>[a-z][a-z0-9]*)/(?P<number>\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.patch")
_REQUIRES = re.compile(r"(?P<stack>[a-z][a-z0-9]*) requires (?P<needed>[a-z][a-z0-9 ]*)")
_PIN = re.compile(r"[0-9a-f]{40}\n?")


class PatchFormatError(MfnPatchError):
    """A patch file or the series is not in the documented form."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem), remedy="Run `mfn-patch lint` for all that is wrong.")
        self.problem = problem


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file of the project; `line` counts from 1, 0 is the whole file."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Header:
    """A patch's header: who, when, and the reasons a reviewer asks for."""

    author: str
    address: str
    date: datetime
    subject: str
    body: str

    def paragraph(self, name: str) -> str:
        """Return the text of the paragraph `name` (``Why``, ``Origin``, ``Effect``), unwrapped."""
        found = re.search(rf"^{name}:(.*(?:\n .*)*)", self.body, re.MULTILINE)
        return " ".join(found.group(1).split()) if found else ""


@dataclass(frozen=True)
class Patch:
    """One patch file, parsed.

    Attributes:
        name: its path in the series, such as ``recipe/0001-fc7-without-bias.patch``.
        data: the file's bytes.
        diff: the part of them from the first ``diff --git`` line on.
    """

    name: str
    path: Path
    header: Header
    data: bytes
    diff: bytes
    files: tuple[FilePatch, ...]

    @property
    def stack(self) -> str:
        """The stack it belongs to: the folder it stands in."""
        return self.name.partition("/")[0]

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it changes, each once."""
        return tuple(dict.fromkeys(file.path for file in self.files))


@dataclass(frozen=True)
class Series:
    """All patches of a project in their order, and the commit that they are made for.

    Attributes:
        root: the project's folder.
        pin: the commit.
        patches: in order.
        requires: by the name of a stack, the stacks without which it does not apply.
    """

    root: Path
    pin: str
    patches: tuple[Patch, ...]
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def stacks(self) -> tuple[str, ...]:
        """The names of the stacks, in order."""
        return tuple(dict.fromkeys(patch.stack for patch in self.patches))

    def find(self, name: str) -> Patch:
        """Return the patch called `name`; its number or any unambiguous start of it will do.

        Raises:
            MfnPatchError: none or several are called so.
        """
        found = [
            patch for patch in self.patches if name in (patch.name, patch.name[: -len(".patch")])
        ] or [patch for patch in self.patches if patch.name.startswith(name)]
        if len(found) != 1:
            names = ", ".join(patch.name for patch in found or self.patches)
            reason = "is ambiguous" if found else "is not in the series"
            raise MfnPatchError(f"patch {name!r} {reason}", remedy=f"Name one of: {names}.")
        return found[0]

    def select(
        self, stacks: tuple[str, ...] = (), without: tuple[str, ...] = ()
    ) -> tuple[Patch, ...]:
        """Return the patches of `stacks` (none named: of all), less those named in `without`.

        The stacks that `stacks` require are among them.

        Raises:
            MfnPatchError: a stack or patch that does not exist.
        """
        for stack in stacks:
            if stack not in self.stacks:
                raise MfnPatchError(
                    f"there is no stack {stack!r}", remedy=f"Name one of: {', '.join(self.stacks)}."
                )
        if stacks:
            stacks = (*stacks, *self.required(stacks))
        left_out = {self.find(name) for name in without}
        return tuple(
            patch
            for patch in self.patches
            if (not stacks or patch.stack in stacks) and patch not in left_out
        )

    def required(self, stacks: Iterable[str]) -> dict[str, str]:
        """Return the further stacks that `stacks` require, each with one that requires it."""
        asked = dict.fromkeys(stacks)
        found: dict[str, str] = {}
        waiting = list(asked)
        while waiting:
            stack = waiting.pop(0)
            for other in self.requires.get(stack, ()):
                if other not in asked and other not in found:
                    found[other] = stack
                    waiting.append(other)
        return found


def load_series(root: Path) -> Series:
    """Read ``pinned_commit.txt`` and ``patches/`` of the project at `root`.

    Raises:
        PatchFormatError: the first thing found wrong with them.
    """
    patches = [parse_patch(root / "patches", name) for _, name in series_entries(root)]
    requires = {stack: needed for _, stack, needed in series_requirements(root)}
    return Series(root, read_pin(root), tuple(patches), requires)


def read_pin(root: Path) -> str:
    """Return the commit id in ``pinned_commit.txt``.

    Raises:
        PatchFormatError: it does not hold one.
    """
    path = root / "pinned_commit.txt"
    text = _text(path)
    if not _PIN.fullmatch(text):
        raise PatchFormatError(Problem(path, 1, "must hold a commit id, 40 hex digits"))
    return text.strip()


def series_entries(root: Path) -> list[tuple[int, str]]:
    """Return the patches that ``patches/series`` names, with their line numbers, from 1."""
    return [(number, line) for number, line in _lines(root) if not _REQUIRES.fullmatch(line)]


def series_requirements(root: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    """Return what ``patches/series`` declares: line number, a stack, and those that it requires."""
    found = ((number, _REQUIRES.fullmatch(line)) for number, line in _lines(root))
    return [(n, match["stack"], tuple(match["needed"].split())) for n, match in found if match]


def _lines(root: Path) -> list[tuple[int, str]]:
    lines = _text(root / "patches" / "series").splitlines()
    stripped = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def parse_patch(folder: Path, name: str) -> Patch:
    """Parse the patch file `name` (its path in the series) below `folder`.

    Raises:
        PatchFormatError: it is missing or not in the documented form.
    """
    path = folder / name
    if not _NAME.fullmatch(name):
        raise PatchFormatError(
            Problem(
                folder / "series", 0, f"{name!r} is not of the form stack/NNNN-what-it-does.patch"
            )
        )
    data = _bytes(path)
    head, _, _ = data.partition(b"\ndiff --git ")
    first_line = head.count(b"\n") + 2
    diff = data[len(head) + 1 :]
    if not diff:
        raise PatchFormatError(Problem(path, 0, "holds no git diff"))
    header = _parse_header(path, head)
    try:
        changes = unified.parse(diff, first_line)
    except unified.DiffError as error:
        raise PatchFormatError(Problem(path, error.line, str(error))) from error
    return Patch(name, path, header, data, diff, changes)


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise PatchFormatError(Problem(path, 0, f"is not UTF-8 text: {error}")) from error


def _bytes(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise PatchFormatError(Problem(path, 0, f"cannot be read: {error.strerror}")) from error


def _parse_header(path: Path, head: bytes) -> Header:
    def wrong(message: str) -> PatchFormatError:
        return PatchFormatError(Problem(path, 1, message))

    if b"\r" in head:
        raise wrong("the header has CRLF line endings; only quoted lines of upstream may")
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        raise wrong(f"the header is not UTF-8 text: {error}") from error
    text, mark, after = text.rpartition("\n---")
    if not mark or after.strip():
        raise wrong("the header must end with a line '---' right before the diff")
    fields = HeaderParser().parsestr(text)
    if not _readable(fields):
        raise wrong("the mail is encoded; save it as UTF-8 with Content-Transfer-Encoding: 8bit")
    try:
        author, address = mail.parse_person(fields["From"] or "")
        subject = mail.subject(fields["Subject"] or "")
    except mail.MailError as error:
        raise wrong(str(error)) from error
    if not author or not address:
        raise wrong("the header needs 'From: Name <address>'")
    try:
        date = email.utils.parsedate_to_datetime(fields["Date"] or "")
    except (TypeError, ValueError):
        raise wrong("the header needs 'Date:' as in mails") from None
    if date.tzinfo is None:
        raise wrong("the header's date needs an offset such as +0000")
    if not subject or len(subject) > SUBJECT_LENGTH or subject.endswith("."):
        raise wrong(f"the subject must have 1 to {SUBJECT_LENGTH} characters and no full stop")
    header = Header(author, address, date, subject, str(fields.get_payload()).strip())
    for name in PARAGRAPHS:
        if not header.paragraph(name):
            raise wrong(f"the header needs a paragraph '{name}: ...'")
    return header


def _readable(fields: Message) -> bool:
    """Return whether the body, and so the diff, stands there as it is."""
    encoding = str(fields.get("Content-Transfer-Encoding", "8bit")).strip().lower()
    charset = (fields.get_content_charset() or "utf-8").lower()
    return encoding in ("7bit", "8bit", "binary") and charset in ("utf-8", "us-ascii")
