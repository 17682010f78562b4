"""Where hunks fit in a file, by the rules of ``git apply``, and what stands there if they do not.

git says only that a patch does not apply, and names the first bad hunk; this says it of every
hunk, with the lines that were expected and found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfn_patcher.patches import Hunk


@dataclass(frozen=True)
class Fit:
    """Where one hunk fits.

    Attributes:
        line: the line, from 1, at which its pre-image was found or, for a hunk that fits
            nowhere, at which most of it stands. Hunks before it count as applied.
        offset: how many lines that is from where the patch says.
        found: None where the hunk fits, else the lines that stand at `line`.
        ambiguous: whether it fits somewhere else as well; never where it fits without offset.
    """

    hunk: Hunk
    line: int
    offset: int
    found: tuple[bytes, ...] | None
    ambiguous: bool = False


def fit(content: bytes, hunks: Sequence[Hunk]) -> list[Fit]:
    """Return where each of `hunks` fits in `content`; one that fits nowhere is left out.

    As in git, a hunk is looked for at the line that the patch names, then ever farther from it
    to both sides; one at line 1 must stand at the file's beginning, one without context after
    it at its end; and lines that an earlier hunk put there are never matched.
    """
    image = _split(content)
    patched = [False] * len(image)
    fits = []
    for hunk in hunks:
        guess = min(max(hunk.target_start - 1, 0), len(image))
        size = len(hunk.source)
        places = (
            start
            for start in _candidates(hunk, guess, len(image))
            if tuple(image[start : start + size]) == hunk.source
            and not any(patched[start : start + size])
        )
        at = next(places, None)
        if at is None:
            best = _most_alike(image, hunk.source, guess)
            fits.append(Fit(hunk, best + 1, best - guess, tuple(image[best : best + size])))
        else:
            ambiguous = at != guess and next(places, None) is not None
            image[at : at + size] = hunk.target
            patched[at : at + size] = [True] * len(hunk.target)
            fits.append(Fit(hunk, at + 1, at - guess, None, ambiguous))
    return fits


def apply_fits(content: bytes, fits: Sequence[Fit]) -> bytes:
    """Return `content` with the hunks applied where they fit; those that do not are left out."""
    image = _split(content)
    for entry in fits:
        if entry.found is None:
            at = entry.line - 1
            image[at : at + len(entry.hunk.source)] = entry.hunk.target
    return b"".join(image)


def _split(content: bytes) -> list[bytes]:
    """Split into lines with their ends; only a line feed ends a line, as for git."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _candidates(hunk: Hunk, guess: int, length: int) -> Iterator[int]:
    last = length - len(hunk.source)
    at_beginning = hunk.source_start <= 1
    at_end = not hunk.trailing
    if at_beginning or at_end:
        start = 0 if at_beginning else last
        if start == last or not (at_beginning and at_end):
            yield start
        return
    for distance in range(length + 1):
        for start in dict.fromkeys((guess - distance, guess + distance)):
            if 0 <= start <= last:
                yield start


def _most_alike(image: list[bytes], source: tuple[bytes, ...], guess: int) -> int:
    def likeness(start: int) -> tuple[int, int]:
        equal = sum(a == b for a, b in zip(image[start:], source))
        return equal, -abs(start - guess)

    return max(range(max(1, len(image))), key=likeness)
