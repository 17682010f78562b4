"""A second reading of a patch, by unidiff.

Review tools, editors and scripts read patches with parsers like unidiff. A patch in which they see
different lines from those git applies could pass review and still change something else.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unidiff.patch import Line

    from mfn_patcher.patching.patchfile import Patch

Lines = tuple[bytes, bytes]
"""A hunk's lines before and after, each joined."""


_BEHIND = re.compile(rb"\n\n+(?=diff --git |\Z)")


def disagreement(patch: Patch) -> str | None:
    """Return the hunk where unidiff reads different lines from this package; None if none differs.

    File names are not compared: unidiff does not decode names that git quotes. Empty lines may
    follow each diff; unidiff takes them for lines of its last hunk, so they are left out.
    """
    found = _disagreement(patch, patch.diff)
    return found and _disagreement(patch, _BEHIND.sub(b"\n", patch.diff))


def _disagreement(patch: Patch, diff: bytes) -> str | None:
    from unidiff.errors import UnidiffParseError  # noqa: PLC0415  (only lint needs unidiff)
    from unidiff.patch import PatchSet  # noqa: PLC0415

    try:
        # Latin-1 has a character for each byte.
        theirs = PatchSet(io.StringIO(diff.decode("latin-1"), newline="\n"))
    except UnidiffParseError as error:
        return f"unidiff cannot read the diff: {error}"
    other = (
        (_joined(hunk, " -"), _joined(hunk, " +"))  # "\\ No newline" is a kind of line, too
        for file in theirs
        for hunk in file
    )
    for number, (ours, unidiffs) in enumerate(zip_longest(_hunks(patch), other), 1):
        if ours != unidiffs:
            return (
                f"unidiff reads different lines from git in hunk {number}; rewrite the patch with "
                "`mfn-patch refresh`"
            )
    return None


def _joined(hunk: Iterable[Line], kinds: str) -> bytes:
    text = "".join(line.value for line in hunk if line.line_type in kinds)
    return _without_end(text.encode("latin-1"))


def _without_end(lines: bytes) -> bytes:
    # unidiff ends every line with a line break, even the last line of a file that has none.
    return lines.removesuffix(b"\n")


def _hunks(patch: Patch) -> Iterator[Lines]:
    for file in sorted(patch.files, key=lambda file: file.line):
        for hunk in file.hunks:
            yield _without_end(b"".join(hunk.source)), _without_end(b"".join(hunk.target))
