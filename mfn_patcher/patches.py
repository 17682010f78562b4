"""Patch files and their series: parsing and offline checks. This module knows no git.

A patch file is a mail as ``git am`` reads it: ``From``, ``Date`` and ``Subject``, a body with
the paragraphs ``Why:``, ``Origin:`` and ``Effect:``, a line ``---``, and a git diff with full
blob ids. ``docs/patches.md`` describes the format.
"""

from __future__ import annotations

import email.utils
import hashlib
import io
import re
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from mfn_patcher.errors import MfnPatchError

if TYPE_CHECKING:
    from datetime import datetime

    from unidiff.patch import Hunk as UnidiffHunk
    from unidiff.patch import PatchedFile

PARAGRAPHS = ("Why", "Origin", "Effect")
SUBJECT_LENGTH = 72
ABSENT = "0" * 40  # the blob id of a file that is not there

_NAME = re.compile(r"(?P<stack>[a-z][a-z0-9]*)/(?P<number>\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.patch")
_INDEX = re.compile(r"^index ([0-9a-f]+)\.\.([0-9a-f]+)", re.MULTILINE)
_MODE = re.compile(r"^new (?:file )?mode (\d{6})$", re.MULTILINE)
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
class Hunk:
    """One hunk: what it expects to find and what it leaves, as lines with their line ends.

    Attributes:
        number: its place in the file's diff, from 1.
        source_start, target_start: the lines, from 1, at which `source` stood and `target` will
            stand; 0 where there is nothing.
        leading, trailing: lines of context before the first and after the last change.
        line: the line of the patch file on which the hunk's header stands, from 1.
    """

    number: int
    header: str
    source_start: int
    target_start: int
    source: tuple[bytes, ...]
    target: tuple[bytes, ...]
    leading: int
    trailing: int
    line: int


@dataclass(frozen=True)
class FilePatch:
    """What a patch does to one file; blob ids are 40 hex digits, or `ABSENT`.

    Attributes:
        mode: the mode that it gives the file, six octal digits; None where that stays.
    """

    path: str
    source_blob: str
    target_blob: str
    mode: str | None
    hunks: tuple[Hunk, ...]
    line: int


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
        """The files that it changes."""
        return tuple(file.path for file in self.files)


@dataclass(frozen=True)
class Series:
    """All patches of a project in their order, and the commit that they are made for."""

    root: Path
    pin: str
    patches: tuple[Patch, ...]

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

        Raises:
            MfnPatchError: a stack or patch that does not exist.
        """
        for stack in stacks:
            if stack not in self.stacks:
                raise MfnPatchError(
                    f"there is no stack {stack!r}", remedy=f"Name one of: {', '.join(self.stacks)}."
                )
        left_out = {self.find(name) for name in without}
        return tuple(
            patch
            for patch in self.patches
            if (not stacks or patch.stack in stacks) and patch not in left_out
        )


def load_series(root: Path) -> Series:
    """Read ``pinned_commit.txt`` and ``patches/`` of the project at `root`.

    Raises:
        PatchFormatError: the first thing found wrong with them.
    """
    patches = [parse_patch(root / "patches", name) for _, name in series_entries(root)]
    return Series(root, read_pin(root), tuple(patches))


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
    """Return the entries of ``patches/series`` with their line numbers, from 1."""
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
    return Patch(
        name, path, _parse_header(path, head), data, diff, _parse_diff(path, diff, first_line)
    )


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise PatchFormatError(Problem(path, 0, f"is not UTF-8 text: {error}")) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
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
    mail = HeaderParser().parsestr(text)
    author, address = email.utils.parseaddr(mail["From"] or "")
    if not author or not address:
        raise wrong("the header needs 'From: Name <address>'")
    try:
        date = email.utils.parsedate_to_datetime(mail["Date"] or "")
    except (TypeError, ValueError):
        raise wrong("the header needs 'Date:' as in mails") from None
    if date.tzinfo is None:
        raise wrong("the header's date needs an offset such as +0000")
    subject = mail["Subject"] or ""
    if not subject or len(subject) > SUBJECT_LENGTH or subject.endswith("."):
        raise wrong(f"the subject must have 1 to {SUBJECT_LENGTH} characters and no full stop")
    header = Header(author, address, date, subject, str(mail.get_payload()).strip())
    for name in PARAGRAPHS:
        if not header.paragraph(name):
            raise wrong(f"the header needs a paragraph '{name}: ...'")
    return header


def _parse_diff(path: Path, diff: bytes, first_line: int) -> tuple[FilePatch, ...]:
    if not diff.endswith(b"\n"):
        raise PatchFormatError(Problem(path, 0, "the last line has no line break"))
    for number, line in enumerate(diff.split(b"\n"), first_line):
        if line.endswith(b"\r") and not line.startswith((b" ", b"+", b"-")):
            raise PatchFormatError(Problem(path, number, "a line of the diff's frame ends in CRLF"))
    try:
        # Latin-1 gives each byte its own character, so nothing is lost on the way.
        parsed = PatchSet(io.StringIO(diff.decode("latin-1"), newline="\n"))
    except UnidiffParseError as error:
        raise PatchFormatError(
            Problem(path, first_line, f"the diff does not parse: {error}")
        ) from error
    if not parsed:
        raise PatchFormatError(Problem(path, first_line, "the diff changes no file"))
    return tuple(_parse_file(path, file, first_line) for file in parsed)


def _parse_file(path: Path, file: PatchedFile, first_line: int) -> FilePatch:
    name = file.path.encode("latin-1").decode(errors="replace")
    hunks = tuple(_parse_hunk(number, hunk, first_line) for number, hunk in enumerate(file, 1))
    # "diff --git", "index" and the like, then "---" and "+++", then the first hunk.
    line = hunks[0].line - 2 - len(file.patch_info or ()) if hunks else first_line

    def wrong(message: str) -> PatchFormatError:
        return PatchFormatError(Problem(path, line, f"{name}: {message}"))

    pure = PurePosixPath(name)
    if pure.is_absolute() or {"..", ".git"} & set(pure.parts) or '"' in name:
        raise wrong("the path leaves the tree or needs quoting")
    if file.is_binary_file:
        raise wrong("a binary patch cannot be reviewed")
    if file.is_rename:
        raise wrong("renames are not supported; remove the one file and add the other")
    if not hunks:
        raise wrong("no hunks")
    index = _INDEX.search(str(file.patch_info))
    if not index or {len(index.group(1)), len(index.group(2))} != {40}:
        raise wrong("full blob ids are missing; export with `git diff --full-index`")
    mode = _MODE.search(str(file.patch_info))
    return FilePatch(
        name, index.group(1), index.group(2), mode.group(1) if mode else None, hunks, line
    )


def _parse_hunk(number: int, hunk: UnidiffHunk, first_line: int) -> Hunk:
    source: list[bytes] = []
    target: list[bytes] = []
    changed: list[str] = []
    for line in hunk:
        value = line.value.encode("latin-1")
        if line.line_type == "\\":  # "No newline at end of file" speaks of the line before it
            for side, types in ((source, " -"), (target, " +")):
                if changed[-1] in types:
                    side[-1] = side[-1].rstrip(b"\n")
            continue
        changed.append(line.line_type)
        if line.line_type in " -":
            source.append(value)
        if line.line_type in " +":
            target.append(value)
    body = "".join(changed)
    return Hunk(
        number=number,
        header=f"@@ -{hunk.source_start},{hunk.source_length} "
        f"+{hunk.target_start},{hunk.target_length} @@",
        source_start=hunk.source_start,
        target_start=hunk.target_start,
        source=tuple(source),
        target=tuple(target),
        leading=len(body) - len(body.lstrip(" ")),
        trailing=len(body) - len(body.rstrip(" ")),
        line=first_line + (hunk[0].diff_line_no or 0) - 2,
    )
