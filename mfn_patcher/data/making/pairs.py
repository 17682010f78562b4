"""Verification pairs: read from a list, or drawn from identities that are not trained on."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.data.making.photo import SUFFIXES
from mfn_patcher.data.making.source import Source, require_utf8, split_columns
from mfn_patcher.data.verification_set import FOLDS, MINIMUM_PAIRS
from mfn_patcher.errors import MfnPatchError

_LFW_HEADER = re.compile(r"\d+(\s+\d+)?\s*")
_REMEDY = (
    "Write two paths per line, or two paths and 1 (same) or 0 (different), separated by tabs; or "
    "use the format of LFW's pairs.txt, whose first line is a number."
)


class PairError(MfnPatchError):
    """A pair list is invalid, or pairs cannot be drawn."""


@dataclass(frozen=True)
class Pair:
    """Two images to compare.

    Attributes:
        first: path of one image.
        second: path of the other.
        same: whether both show the same person.
        line: line of the pair list; 0 if the pair was drawn.
    """

    first: str
    second: str
    same: bool
    line: int = 0

    @property
    def paths(self) -> tuple[str, str]:
        """The paths of both images."""
        return self.first, self.second


def read_pairs(path: Path, source: Source) -> list[Pair]:
    """Read a pair list.

    Args:
        path: the list. Its paths are relative to the root of the source, or to its own folder.
        source: where the images come from; it tells who is in a pair.

    Raises:
        PairError: The list cannot be read, names an image that does not exist, contradicts the
            source, or has too few pairs of one kind.
        ListEncodingError: It is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PairError(
            f"cannot read {path}: {error.strerror}",
            remedy="--pairs takes the path of a pair list, or a number of pairs to draw.",
        ) from error
    require_utf8(path, content)
    lines = content.splitlines()
    rows = [(number, split_columns(line)) for number, line in enumerate(lines, 1) if line.strip()]
    if rows and _LFW_HEADER.fullmatch(" ".join(rows[0][1])):
        named = [_lfw_row(path, number, columns) for number, columns in rows[1:]]
    else:
        named = [_plain_row(path, number, columns) for number, columns in rows]
    folders = (source.root, path.parent)
    found = [
        (number, _find(path, number, first, folders), _find(path, number, second, folders), same)
        for number, first, second, same in named
    ]
    identities = source.identities_of({name for row in found for name in row[1:3]})
    pairs = [_pair(path, row, identities) for row in found]
    _check_counts(pairs, str(path))
    return pairs


_Row = tuple[int, str, str, "bool | None"]


def _plain_row(path: Path, number: int, columns: Sequence[str]) -> _Row:
    if len(columns) == 2:  # noqa: PLR2004
        return number, columns[0], columns[1], None
    if len(columns) == 3 and columns[2] in ("0", "1"):  # noqa: PLR2004
        return number, columns[0], columns[1], columns[2] == "1"
    raise PairError(f"line {number} of {path} is not a pair", remedy=_REMEDY)


def _lfw_row(path: Path, number: int, columns: Sequence[str]) -> _Row:
    match columns:
        case [name, one, other] if one.isdecimal() and other.isdecimal():
            return number, _lfw_path(name, one), _lfw_path(name, other), True
        case [name, one, another, other] if one.isdecimal() and other.isdecimal():
            return number, _lfw_path(name, one), _lfw_path(another, other), False
    raise PairError(f"line {number} of {path} is not a pair in LFW's format", remedy=_REMEDY)


def _lfw_path(name: str, number: str) -> str:
    """Return the path of an image as LFW names it, without the suffix."""
    return f"{name}/{name}_{int(number):04d}"


def _find(path: Path, number: int, name: str, folders: Sequence[Path]) -> str:
    for folder in folders:
        for suffix in ("", *SUFFIXES):
            found = str(folder / (name + suffix))
            if os.path.isfile(found):  # noqa: PTH113
                return found
    raise PairError(
        f"line {number} of {path} names {name}, which does not exist in "
        + " or ".join(dict.fromkeys(map(str, folders))),
        remedy="Correct the path or remove the line. Image 4 of Ann in LFW's format is "
        "Ann/Ann_0004.jpg."
        if name.isprintable()
        else "Save the list as UTF-8.",
    )


def _pair(path: Path, row: _Row, identities: dict[str, int]) -> Pair:
    number, first, second, same = row
    people = (identities.get(first), identities.get(second))
    if None not in people:
        actual = people[0] == people[1]
        if same is not None and same != actual:
            claim = "the same person" if same else "different people"
            raise PairError(
                f"line {number} of {path} says that {first} and {second} show {claim}, but their "
                "identities say otherwise",
                remedy="Correct the line, or move the image to the right identity.",
            )
        return Pair(first, second, actual, number)
    if same is None:
        raise PairError(
            f"line {number} of {path} does not say whether its images show the same person, and "
            "they are not both among the images to train on",
            remedy="Add a third column: 1 for the same person, 0 for different people.",
        )
    return Pair(first, second, same, number)


def _check_counts(pairs: Sequence[Pair], where: str) -> None:
    same = sum(pair.same for pair in pairs)
    if min(same, len(pairs) - same) < FOLDS:
        raise PairError(
            f"{where} has {same} pairs of the same person and {len(pairs) - same} of different "
            f"people; each of the {FOLDS} folds of the evaluation needs both",
            remedy=f"Add pairs until there are at least {FOLDS} of each kind.",
        )


def choose_held_out(counts: Sequence[int], count: int, taken: set[int]) -> list[int]:
    """Choose the identities that pairs are drawn from: a tenth, as far as needed.

    Args:
        counts: number of files of each identity.
        count: number of pairs that will be drawn.
        taken: identities that are already left out of training; none of them is chosen.
    """
    eligible = [number for number, files in enumerate(counts) if files > 1 and number not in taken]
    wanted = min(max(2, len(counts) // 10), max(2, count // 2))
    order = np.random.default_rng(0).permutation(len(eligible))[:wanted]
    return sorted(eligible[place] for place in order)


def draw_pairs(people: Sequence[Sequence[str]], count: int) -> list[Pair]:
    """Draw pairs, half of them of the same person; the same arguments give the same pairs.

    Args:
        people: paths of each person's images, which differ from one another.
        count: how many pairs to draw.

    Raises:
        PairError: There are not enough images for that many different pairs.
    """
    if not people:
        raise PairError(
            f"{count} pairs cannot be drawn: no identity has two images, which a pair of the same "
            "person needs",
            remedy="Add images, or give a pair list.",
        )
    wanted_different = count // 2
    wanted_same = count - wanted_different
    sizes = np.array([len(paths) for paths in people], dtype=np.int64)
    total = int(sizes.sum())
    most_same = int((sizes * (sizes - 1) // 2).sum())
    most_different = (total * total - int((sizes * sizes).sum())) // 2
    if most_same < wanted_same or most_different < wanted_different:
        most = 2 * min(most_same, most_different)
        raise PairError(
            f"{count} pairs cannot be drawn: a tenth of the people are left out of training for "
            f"them, {len(people)} with {total} images, which make {most} pairs",
            remedy=f"Ask for {most} pairs or fewer, or add people or images."
            if most >= MINIMUM_PAIRS
            else "Add people or images, or give a pair list.",
        )
    rng = np.random.default_rng(0)
    same = itertools.islice(_same_pairs(people, rng), wanted_same)
    different = itertools.islice(_different_pairs(people, rng), wanted_different)
    return [*same, *different]


def _same_pairs(people: Sequence[Sequence[str]], rng: np.random.Generator) -> Iterator[Pair]:
    """Yield all pairs of the same person, one of each person in turn."""
    turns = itertools.zip_longest(*(_pairs_of_one(paths, rng) for paths in people))
    return (pair for turn in turns for pair in turn if pair)


def _pairs_of_one(paths: Sequence[str], rng: np.random.Generator) -> Iterator[Pair]:
    seen: set[tuple[int, int]] = set()
    while 2 * len(seen) < len(paths) * (len(paths) - 1):
        one, other = sorted(int(place) for place in rng.integers(len(paths), size=2))
        if one != other and (one, other) not in seen:
            seen.add((one, other))
            yield Pair(paths[one], paths[other], same=True)


def _different_pairs(people: Sequence[Sequence[str]], rng: np.random.Generator) -> Iterator[Pair]:
    """Yield different pairs of different people, endlessly."""
    owned = [(path, person) for person, paths in enumerate(people) for path in paths]
    seen: set[tuple[int, int]] = set()
    while True:
        one, other = sorted(int(place) for place in rng.integers(len(owned), size=2))
        if owned[one][1] != owned[other][1] and (one, other) not in seen:
            seen.add((one, other))
            yield Pair(owned[one][0], owned[other][0], same=False)


def spread_over_folds(pairs: Sequence[Pair]) -> list[Pair]:
    """Order pairs so that each fold, a tenth of the list, has pairs of both kinds.

    A list that has them already, such as LFW's, keeps its order and so its published folds.
    """
    folds = np.array_split(np.array([pair.same for pair in pairs]), FOLDS)
    if all(fold.any() and not fold.all() for fold in folds):
        return list(pairs)
    same = [pair for pair in pairs if pair.same]
    different = iter([pair for pair in pairs if not pair.same])
    ordered: list[Pair] = []
    # Both splits give the first folds one more pair, so that no fold has only one kind.
    for fold, share in zip(folds, np.array_split(np.arange(len(same)), FOLDS)):
        ordered += [same[place] for place in share]
        ordered += itertools.islice(different, len(fold) - len(share))
    return ordered
