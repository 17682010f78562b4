"""Parsing of git's unified diffs, byte for byte, by the rules of ``git apply``, without git.

Lines that git would silently skip (after the end of a hunk, or with contradicting names) are
errors here, because a reviewer may have taken them for part of the change.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mfn_patcher.patching import binary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfn_patcher.patching.binary import BinaryChange

ABSENT = "0" * 40  # the blob id of a file that does not exist
EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # that of an empty file

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_INDEX = re.compile(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)")
_ANY_MODE = re.compile(rb"(?:(?:new file|deleted file|new|old) mode|index \S+) (\d+)")
_MODE = re.compile(rb"new (?:file )?mode (\d{6})")
_OLD_MODE = re.compile(rb"old mode (\d{6})")
_FILE_MODES = ("100644", "100755")
_NO_NEWLINE = b"\\ "
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPES = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v"))
# The names that mean .git on Windows, too, which git checks out nowhere.
_OF_GIT = re.compile(rb"(?i:\.git|git~1)[ .]*(?::.*)?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class DiffError(Exception):
    """A diff that does not have the documented format; `line` is that of the patch file, from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Hunk:
    """One hunk.

    Attributes:
        number: its number among the patch's hunks of the file, from 1; 0 in `FilePatch.parts`.
        header: its header, such as ``@@ -1,7 +1,8 @@``.
        source_start: the line, from 1, of the pre-image; 0 for a new file.
        target_start: the line, from 1, of the post-image; 0 for a removed file.
        source: the pre-image, as lines with their line ends.
        target: the post-image, likewise.
        leading: the number of context lines before the first change.
        trailing: the number of context lines after the last change.
        line: the line of the header in the patch file, from 1.
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
    """The changes of a patch to one file.

    Attributes:
        path: the file; bytes that are not UTF-8 are surrogates, as in `os.fsdecode`.
        source_blob: the blob id before, 40 hex digits, or `ABSENT`; empty if only the mode changes.
        target_blob: the blob id after, likewise.
        mode: the new mode, six octal digits; None if it does not change.
        hunks: the hunks, in order; none if the file is binary or empty, or only its mode changes.
        line: the first line of the diff in the patch file, from 1.
        old_mode: the mode before, if it changes.
        binary: the change of a binary file.
    """

    path: str
    source_blob: str
    target_blob: str
    mode: str | None
    hunks: tuple[Hunk, ...]
    line: int
    old_mode: str | None = None
    binary: BinaryChange | None = None

    @property
    def only_mode(self) -> bool:
        """Whether only the mode changes."""
        return not self.source_blob

    @property
    def parts(self) -> tuple[Hunk, ...]:
        """The hunks, or one that stands for the whole file if there are none."""
        return self.hunks or (Hunk(0, "", 0, 0, (), (), 0, 0, self.line),)


def parse(diff: bytes, first_line: int) -> tuple[FilePatch, ...]:
    """Parse a diff of one or several files; files that it removes come first.

    Args:
        diff: the diff, which starts with ``diff --git``; a file may appear more than once.
        first_line: the line of its start in the patch file, from 1.

    Raises:
        DiffError: the diff does not have the documented format.
    """
    lines = diff.split(b"\n")
    if lines.pop():
        raise DiffError(0, "the last line has no line break")
    files = _Parser(lines, first_line).files()
    _check_order(files)
    # As git does, so that a file can take the place of a folder.
    return tuple(sorted(files, key=lambda file: file.target_blob != ABSENT))


class _Parser:
    """Parses lines, which have no line feeds, from first to last."""

    def __init__(self, lines: Sequence[bytes], first_line: int) -> None:
        self._lines = lines
        self._first_line = first_line
        self._at = 0
        self._hunks: Counter[bytes] = Counter()

    def files(self) -> tuple[FilePatch, ...]:
        files = []
        while self._rest_counts():
            files.append(self._file())
        return tuple(files)

    def _rest_counts(self) -> bool:
        """Skip empty lines, as git does, and return whether more than a mail signature follows."""
        while self._at < len(self._lines) and not self._peek():
            self._at += 1
        rest = list(filter(None, self._lines[self._at :]))
        # git format-patch ends with a signature: "-- " and git's version.
        signature = rest[:1] == [b"-- "] and len(rest) <= len(("-- ", "2.47.0"))
        return bool(rest) and not signature

    def _peek(self) -> bytes:
        return self._lines[self._at] if self._at < len(self._lines) else b""

    def _wrong(self, message: str, at: int | None = None) -> DiffError:
        place = self._at if at is None else at
        return DiffError(self._first_line + place, message)

    def _file(self) -> FilePatch:
        start = self._at
        if not self._peek().startswith(b"diff --git "):
            raise self._wrong("the diff does not parse: expected a hunk or 'diff --git'")
        frame = [
            self._lines[start],
            *takewhile(
                lambda line: line and not line.startswith((b"@@ ", b"diff --git ", binary.START)),
                self._lines[start + 1 :],
            ),
        ]
        for number, line in enumerate(frame):
            if line.endswith(b"\r"):
                raise self._wrong("a header line of the diff ends in CRLF", start + number)
        self._at += len(frame)
        name, missing = _names(frame, lambda message: self._wrong(message, start))
        shown = name.decode(errors="backslashreplace")

        def wrong(message: str) -> DiffError:
            return self._wrong(f"{shown}: {message}", start)

        _check_path(name, wrong)
        if any(line.startswith(b"Binary files ") for line in frame):
            raise wrong("the content of the binary file is missing; use `git diff --binary`")
        if any(line.startswith((b"rename ", b"copy ")) for line in frame):
            raise wrong("renames are not supported; use `git diff --no-renames`")
        change = self._binary(wrong) if self._peek() == binary.START else None
        hunks: list[Hunk] = []
        while not change and self._peek().startswith(b"@@ "):
            self._hunks[name] += 1
            hunks.append(self._hunk(self._hunks[name]))
        named = [found[1].decode() for found in map(_ANY_MODE.match, frame) if found]
        if any(mode not in _FILE_MODES for mode in named):
            raise wrong("only regular files are supported, not links or submodules")
        modes = [found[1].decode() for found in map(_MODE.match, frame) if found]
        old_modes = [found[1].decode() for found in map(_OLD_MODE.match, frame) if found]
        source, target = _blobs(frame, hunks, missing, wrong, binary=bool(change))
        return FilePatch(
            os.fsdecode(name),
            source,
            target,
            modes[0] if modes else None,
            tuple(hunks),
            self._first_line + start,
            old_modes[0] if old_modes else None,
            change,
        )

    def _binary(self, wrong: Callable[[str], DiffError]) -> BinaryChange:
        try:
            change, lines = binary.parse(self._lines[self._at + 1 :])
        except binary.BinaryPatchError as error:
            raise wrong(f"the binary patch cannot be read: {error}") from error
        self._at += 1 + lines
        return change

    def _hunk(self, number: int) -> Hunk:
        start = self._at
        header = _HUNK.match(self._peek())
        if not header:
            raise self._wrong("the diff does not parse: a hunk's header is malformed")
        source_start, source_left, target_start, target_left = (
            1 if count is None else int(count) for count in header.groups()
        )
        self._at += 1
        source: list[bytes] = []
        target: list[bytes] = []
        kinds: list[bytes] = []
        while source_left > 0 or target_left > 0 or self._peek().startswith(_NO_NEWLINE):
            line = self._peek()
            kind = line[:1] or b" "  # an empty line of context, as some editors leave it
            if self._at == len(self._lines) or kind not in b" -+\\":
                raise self._wrong("the diff does not parse: the hunk is shorter than it says")
            if kind == b"\\":
                self._end_without_newline(kinds, source, target)
            else:
                kinds.append(kind)
                if kind in b" -":
                    source.append(line[1:] + b"\n")
                    source_left -= 1
                if kind in b" +":
                    target.append(line[1:] + b"\n")
                    target_left -= 1
            if source_left < 0 or target_left < 0:
                raise self._wrong("the diff does not parse: the hunk is longer than it says")
            self._at += 1
        if any(not line.endswith(b"\n") for lines in (source, target) for line in lines[:-1]):
            raise self._wrong("the diff does not parse: a line follows one that ends the file")
        changes = [place for place, kind in enumerate(kinds) if kind != b" "]
        return Hunk(
            number=number,
            header=header[0].decode(),
            source_start=source_start,
            target_start=target_start,
            source=tuple(source),
            target=tuple(target),
            leading=changes[0] if changes else len(kinds),
            trailing=len(kinds) - 1 - changes[-1] if changes else len(kinds),
            line=self._first_line + start,
        )

    def _end_without_newline(
        self, kinds: Sequence[bytes], source: list[bytes], target: list[bytes]
    ) -> None:
        """Remove the line break of the line that "No newline at end of file" refers to."""
        if not kinds:
            raise self._wrong("the diff does not parse: no line before 'No newline at end of file'")
        for side, of_side in ((source, b" -"), (target, b" +")):
            if kinds[-1] in of_side:
                side[-1] = side[-1].removesuffix(b"\n")


def _blobs(
    frame: Sequence[bytes],
    hunks: Sequence[Hunk],
    missing: tuple[bool, bool],
    wrong: Callable[[str], DiffError],
    *,
    binary: bool,
) -> tuple[str, str]:
    """Return the blob ids before and after, both empty if only the mode changes.

    Args:
        frame: the lines before the hunks.
        hunks: the hunks.
        missing: whether the names say that the file is absent before and after.
        wrong: makes the error of a message.
        binary: whether there is a binary patch instead of hunks.
    """
    index = next(filter(None, map(_INDEX.match, frame)), None)
    if not (index or hunks or binary) and any(map(_OLD_MODE.match, frame)):
        return "", ""
    if not index or {len(index[1]), len(index[2])} != {len(ABSENT)}:
        raise wrong("full blob ids are missing; use `git diff --full-index`")
    source, target = index[1].decode(), index[2].decode()
    if (source == ABSENT, target == ABSENT) != missing:
        raise wrong("blob ids and names disagree on whether the file is new or removed")
    if (source == ABSENT and any(hunk.source for hunk in hunks)) or (
        target == ABSENT and any(hunk.target for hunk in hunks)
    ):
        raise wrong("a file that does not exist cannot have lines")
    if not hunks and not binary and {source, target} != {ABSENT, EMPTY}:
        raise wrong("the diff has no hunks")
    return source, target


def _names(
    frame: Sequence[bytes], wrong: Callable[[str], DiffError]
) -> tuple[bytes, tuple[bool, bool]]:
    """Return the file's name, and whether it is absent before and after."""
    sides = []
    for mark, prefix in ((b"--- ", b"a/"), (b"+++ ", b"b/")):
        named = [line[len(mark) :] for line in frame if line.startswith(mark)]
        if len(named) > 1:
            raise wrong("the diff does not parse: a file is named twice")
        # git writes a tab after a name with blanks.
        text = unquote(named[0].removesuffix(b"\t")) if named else None
        if text not in (None, b"/dev/null") and not (text or b"").startswith(prefix):
            raise wrong("the names lack a/ and b/; use `git diff` without --no-prefix")
        sides.append(text)
    first = frame[0][len(b"diff --git ") :]
    missing = (sides[0] == b"/dev/null", sides[1] == b"/dev/null")
    if sides == [None, None]:  # no hunks
        missing = (
            any(line.startswith(b"new file mode ") for line in frame),
            any(line.startswith(b"deleted file mode ") for line in frame),
        )
    names = {side[2:] for side in sides if side not in (None, b"/dev/null")}
    if not names:  # no hunks: a mode, a rename, or a binary file
        names = {_first_name(first)}
    (name, *others) = names
    renamed = any(line.startswith((b"rename ", b"copy ")) for line in frame)
    if not renamed and (others or _split(first, name) != [b"a/" + name, b"b/" + name]):
        raise wrong("the diff does not parse: its lines name different files")
    return name, missing


def _split(line: bytes, name: bytes) -> list[bytes]:
    """Return the two names of a ``diff --git`` line, which differ only in their prefixes."""
    if line.startswith(b'"'):
        found = _QUOTED.findall(line)
        return [unquote(each) for each in found] if b" ".join(found) == line else []
    middle = len(b"a/" + name)
    return [line[:middle], line[middle + 1 :]] if line[middle : middle + 1] == b" " else []


def _first_name(line: bytes) -> bytes:
    quoted = _QUOTED.match(line)
    return unquote(quoted[0])[2:] if quoted else line[2 : (len(line) - 1) // 2]


def unquote(text: bytes) -> bytes:
    """Undo git's quoting of names with unusual characters."""
    if not _QUOTED.fullmatch(text):
        return text
    return _ESCAPE.sub(_unescape, text[1:-1])


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8) & 0xFF if code.isdigit() else _ESCAPES.get(code[0], code[0])])


def _check_path(name: bytes, wrong: Callable[[str], DiffError]) -> None:
    path = PurePosixPath(os.fsdecode(name))
    parts = name.split(b"/")
    if path.is_absolute() or {b"", b".", b".."} & set(parts):
        raise wrong("the path leaves the tree")
    if any(_OF_GIT.fullmatch(part) for part in re.split(rb"[/\\]", name)):
        raise wrong("the path leaves the tree: .git is git's own")
    if _CONTROL.search(name):
        raise wrong("the path contains a control character")


def _check_order(files: Sequence[FilePatch]) -> None:
    """Check that several diffs of one file build on one another."""
    there: dict[str, bool] = {}
    for file in files:
        if file.target_blob == ABSENT and file.path in there:
            # git removes before it writes, so it would keep the file.
            raise DiffError(
                file.line, f"{file.path}: an earlier diff changes the file that this one removes"
            )
        expected = file.source_blob != ABSENT
        if there.get(file.path, expected) != expected:
            was = "does not exist" if expected else "exists"
            raise DiffError(file.line, f"{file.path}: after the previous diff, the file {was}")
        there[file.path] = file.target_blob != ABSENT
