"""Where hunks fit in a file, by the rules of ``git apply``.

git reports only the first hunk of a file that does not fit. This module reports every one, with
the lines that it expects and those that are there.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mfn_patcher.patching.unified import Hunk


@dataclass(frozen=True)
class Fit:
    """Where one hunk fits.

    Attributes:
        hunk: the hunk.
        line: the line, from 1, at which the pre-image was found. If the hunk does not fit, the
            line at which most of it was found. Earlier hunks count as applied.
        offset: the distance, in lines, from the place that the patch names.
        found: None if the hunk fits, else the lines at `line`.
        ambiguous: whether the hunk also fits elsewhere; never set without an offset.
    """

    hunk: Hunk
    line: int
    offset: int
    found: tuple[bytes, ...] | None
    ambiguous: bool = False


def fit(content: bytes, hunks: Sequence[Hunk]) -> list[Fit]:
    """Return where each of `hunks` fits in `content`; those that do not fit are not applied.

    As in git, a hunk is searched at the line that the patch names, then at growing distances from
    it in both directions. A hunk at line 1 must be at the start of the file, and a hunk without
    trailing context at its end. Lines that an earlier hunk has added never match. Context that
    ends the file without a line break also matches if only white space follows it.
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
    """Return the line, from 1, of the only place that already has the post-image of `hunk`."""
    image = _split(content)
    undone = replace(hunk, source=hunk.target, target=hunk.source, source_start=hunk.target_start)
    guess = _guess(hunk, image)
    places = list(islice(_places(image, [False] * len(image), undone, guess), 2))
    alone = len(places) == 1 or (places and places[0] == guess)
    return places[0] + 1 if alone else None


def apply_fits(content: bytes, fits: Sequence[Fit]) -> bytes:
    """Return `content` with those hunks applied that fit."""
    image = _split(content)
    for entry in fits:
        if entry.found is None:
            at = entry.line - 1
            image[at : at + len(entry.hunk.source)] = entry.hunk.target
    return b"".join(image)


def describe_misfit(path: str, misfit: Fit) -> str:
    """Return a message about a hunk that does not fit, with the expected and the found lines."""
    rows = [f"  {path}: hunk {misfit.hunk.number} ({misfit.hunk.header}), near line {misfit.line}"]
    expected, found = misfit.hunk.source, misfit.found or ()
    for title, lines, others in (("expected", expected, found), ("found", found, expected)):
        rows.append(f"    {title}:")
        for line, other in zip_longest(lines, others[: len(lines)]):
            text = line.decode(errors="replace").rstrip("\r\n")
            rows.append(f"    {' ' if line == other else '>'} {text}")
    return "\n".join(rows)


def _split(content: bytes) -> list[bytes]:
    """Split into lines with their ends; as for git, only a line feed ends a line."""
    return list(_lines(content))


@lru_cache(maxsize=16)  # the same file is split for each of its hunks
def _lines(content: bytes) -> tuple[bytes, ...]:
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return tuple(lines if lines[-1] else lines[:-1])


def _guess(hunk: Hunk, image: list[bytes]) -> int:
    """Return the line, from 0, that the patch names, with earlier hunks applied."""
    return min(max(hunk.target_start - 1, 0), len(image))


def _places(image: list[bytes], patched: list[bool], hunk: Hunk, guess: int) -> Iterator[int]:
    """Yield the places of the pre-image: the nearest to `guess` first, and later ones on a tie."""
    source = hunk.source
    size = len(source)
    last = len(image) - size
    # git compares as many bytes as the pre-image has, then ignores white space. So a last line
    # without its line break matches the start of a longer line.
    loose = bool(size and hunk.trailing and not source[-1].endswith(b"\n"))
    exact = source[:-1] if loose else source
    # The longest line is likely to be in few places.
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
    """Return whether `line` is `text`, followed by nothing but white space."""
    return line.startswith(text) and not line[len(text) :].strip(b" \t\r\n")


def _where(image: list[bytes], line: bytes) -> list[int]:
    """Return all positions of a line; `list.index` is several times as fast as a loop."""
    found: list[int] = []
    at = -1
    with contextlib.suppress(ValueError):
        while True:
            at = image.index(line, at + 1)
            found.append(at)
    return found


def _most_alike(image: list[bytes], source: tuple[bytes, ...], guess: int) -> int:
    """Return the place that shares most lines with `source`; the nearest to `guess` on a tie."""
    wanted: dict[bytes, list[int]] = {}
    for number, line in enumerate(source):
        wanted.setdefault(line, []).append(number)
    equal: dict[int, int] = {min(guess, max(0, len(image) - 1)): 0}
    for number in [number for number, line in enumerate(image) if line in wanted]:
        for place in wanted[image[number]]:
            equal[number - place] = equal.get(number - place, 0) + 1
    starts = (start for start in equal if start >= 0)
    return max(starts, key=lambda start: (equal[start], -abs(start - guess)), default=0)
