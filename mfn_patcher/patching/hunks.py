"""Where hunks fit in a file, by the rules of ``git apply``, and what stands there if they do not.

git says only that a patch does not apply, and names the first bad hunk; this says it of every
hunk, with the lines that were expected and found.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfn_patcher.patching.unified import Hunk


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
    it at its end; and lines that an earlier hunk put there are never matched. Context that ends
    the file without a line break also matches where only white space follows it.
    """
    image = _split(content)
    patched = [False] * len(image)
    fits = []
    for hunk in hunks:
        guess = _guess(hunk, image)
        size = len(hunk.source)
        places = _places(image, patched, hunk, guess)
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


def already_applied(content: bytes, hunk: Hunk) -> int | None:
    """Return the line, from 1, at which what `hunk` leaves stands already, in one place only."""
    image = _split(content)
    undone = replace(hunk, source=hunk.target, target=hunk.source, source_start=hunk.target_start)
    guess = _guess(hunk, image)
    places = list(islice(_places(image, [False] * len(image), undone, guess), 2))
    alone = len(places) == 1 or (places and places[0] == guess)
    return places[0] + 1 if alone else None


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
    return list(_lines(content))


@lru_cache(maxsize=16)  # the same file is looked at for hunk after hunk
def _lines(content: bytes) -> tuple[bytes, ...]:
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return tuple(lines if lines[-1] else lines[:-1])


def _guess(hunk: Hunk, image: list[bytes]) -> int:
    """Return where the patch says that a hunk stands, from 0, hunks before it applied."""
    return min(max(hunk.target_start - 1, 0), len(image))


def _places(image: list[bytes], patched: list[bool], hunk: Hunk, guess: int) -> Iterator[int]:
    """Yield where the pre-image stands, the nearest to `guess` first, then the lower one."""
    source = hunk.source
    size = len(source)
    last = len(image) - size
    # git compares the pre-image with as many bytes of the file, and lines but for white space. So
    # a last line without its line break matches the beginning of one that has more.
    loose = bool(size and hunk.trailing and not source[-1].endswith(b"\n"))
    exact = source[:-1] if loose else source
    # The longest line stands in fewer places than most.
    anchor = max(range(len(exact)), key=lambda number: len(exact[number]), default=None)
    if anchor is None:
        starts = list(range(len(image) + 1))
    else:
        starts = [number - anchor for number in _where(image, exact[anchor])]
    if hunk.source_start <= 1:
        starts = [start for start in starts if start == 0]
    if not hunk.trailing:
        starts = [start for start in starts if start == last]
    for start in sorted(starts, key=lambda start: (abs(start - guess), -start)):
        end = start + size
        if (
            0 <= start <= last
            and tuple(image[start : start + len(exact)]) == exact
            and not any(patched[start:end])
            and (not loose or _begins_with(image[end - 1], source[-1]))
        ):
            yield start


def _begins_with(line: bytes, text: bytes) -> bool:
    """Return whether `line` is `text` with nothing but white space behind it."""
    return line.startswith(text) and not line[len(text) :].strip(b" \t\r\n")


def _where(image: list[bytes], line: bytes) -> list[int]:
    """Return all places of a line; `list.index` finds them several times as fast as a loop."""
    found: list[int] = []
    at = -1
    with contextlib.suppress(ValueError):
        while True:
            at = image.index(line, at + 1)
            found.append(at)
    return found


def _most_alike(image: list[bytes], source: tuple[bytes, ...], guess: int) -> int:
    """Return where most of `source` stands line for line; of equals, the nearest to `guess`."""
    wanted: dict[bytes, list[int]] = {}
    for number, line in enumerate(source):
        wanted.setdefault(line, []).append(number)
    equal: dict[int, int] = {min(guess, max(0, len(image) - 1)): 0}
    for number in [number for number, line in enumerate(image) if line in wanted]:
        for place in wanted[image[number]]:
            equal[number - place] = equal.get(number - place, 0) + 1
    starts = (start for start in equal if start >= 0)
    return max(starts, key=lambda start: (equal[start], -abs(start - guess)), default=0)
