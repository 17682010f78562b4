from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfn_patcher.data.making.pairs import (
    Pair,
    PairError,
    choose_held_out,
    draw_pairs,
    read_pairs,
    spread_over_folds,
)
from mfn_patcher.data.making.source import open_source

SAME = [("person-00/0.jpg", f"person-00/{n}.jpg") for n in range(1, 6)]
SAME += [("person-01/0.jpg", f"person-01/{n}.jpg") for n in range(1, 6)]
DIFFERENT = [(f"person-00/{n}.jpg", f"person-0{m}/{n}.jpg") for n in range(5) for m in (1, 2)]


def read(people: Path, text: str) -> list[Pair]:
    path = people.parent / "pairs.txt"
    path.write_text(text)
    return read_pairs(path, open_source(people))


def relative(people: Path, pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [
        (str(Path(p.first).relative_to(people)), str(Path(p.second).relative_to(people)))
        for p in pairs
    ]


def test_two_columns(people: Path) -> None:
    pairs = read(people, "\n".join("\t".join(pair) for pair in SAME + DIFFERENT))
    assert relative(people, pairs) == SAME + DIFFERENT
    assert [pair.same for pair in pairs] == [True] * 10 + [False] * 10
    assert [pair.line for pair in pairs] == list(range(1, 21))


def test_three_columns_outside_of_the_source(people: Path) -> None:
    """Photos that are not to be trained on, beside the list."""
    people.rename(people.parent / "new")
    (people / "trained").mkdir(parents=True)
    lines = [f"new/{one} new/{other} 1" for one, other in SAME]
    lines += ["", *(f"new/{one}  new/{other}  0" for one, other in DIFFERENT)]
    pairs = read(people, "\n".join(lines))
    assert [pair.same for pair in pairs] == [True] * 10 + [False] * 10
    assert relative(people.parent / "new", pairs) == SAME + DIFFERENT
    with pytest.raises(PairError, match=r"line 1 of .* does not say whether"):
        read(people, "\n".join(line[:-2] for line in lines))


def test_the_form_of_lfw(people: Path) -> None:
    for folder in people.iterdir():
        for path in folder.iterdir():
            path.rename(folder / f"{folder.name}_{int(path.stem):04d}.jpg")
    lines = ["10\t1"]
    for fold in range(10):
        lines.append(f"person-0{fold % 5}\t{fold % 4}\tperson-05\t{fold // 5}")
        lines.append(f"person-0{fold % 5}\t{fold // 5}\t5")
    pairs = read(people, "\n".join(lines))
    assert len(pairs) == 20
    assert relative(people, pairs[:2]) == [
        ("person-00/person-00_0000.jpg", "person-05/person-05_0000.jpg"),
        ("person-00/person-00_0000.jpg", "person-00/person-00_0005.jpg"),
    ]
    assert [pair.same for pair in pairs] == [False, True] * 10
    # The published folds are kept.
    assert spread_over_folds(pairs) == pairs
    lines[7] = "person-00 1"
    with pytest.raises(PairError, match=r"line 8 of .* not a pair in LFW's format"):
        read(people, "\n".join(lines))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("person-00/0.jpg", "line 21 of .* is not a pair"),
        ("person-00/0.jpg person-00/1.jpg yes", "line 21 of .* is not a pair"),
        (
            "person-00/0.jpg person-00/9.jpg",
            "line 21 of .* names person-00/9.jpg, which does not exist",
        ),
        ("person-00/0.jpg person-01/1.jpg 1", "line 21 .* show the same person, but their"),
        ("person-00/0.jpg person-00/1.jpg 0", "line 21 .* show different people, but their"),
    ],
)
def test_a_bad_line_is_named(people: Path, line: str, message: str) -> None:
    text = "".join("\t".join(pair) + "\n" for pair in SAME + DIFFERENT) + line
    with pytest.raises(PairError, match=message) as raised:
        read(people, text)
    assert raised.value.remedy


def test_too_few_of_a_kind(people: Path) -> None:
    with pytest.raises(PairError, match="has 9 pairs of the same person and 10 of different"):
        read(people, "\n".join("\t".join(pair) for pair in SAME[1:] + DIFFERENT))


@given(st.integers(10, 300), st.integers(10, 300))
def test_every_fold_gets_both_kinds(same: int, different: int) -> None:
    pairs = [Pair(f"{n}", "", same=n < same) for n in range(same + different)]
    spread = spread_over_folds(pairs)
    assert sorted(spread, key=lambda pair: int(pair.first)) == pairs
    shares = []
    for fold in np.array_split([pair.same for pair in spread], 10):
        assert 0 < fold.sum() < len(fold)
        shares.append(fold.sum())
    assert max(shares) - min(shares) <= 1
    # In the order in which they were.
    assert [p for p in spread if p.same] == pairs[:same]


def test_a_tenth_is_held_out_as_far_as_it_is_needed() -> None:
    assert len(choose_held_out([20] * 100, 600, set())) == 10
    assert len(choose_held_out([20] * 85_000, 6000, set())) == 3000
    assert len(choose_held_out([20] * 6, 20, set())) == 2
    assert choose_held_out([1, 1, 2, 1, 2, 2], 20, {5}) == [2, 4]


def test_pairs_are_drawn_from_everybody_alike() -> None:
    people = [[f"{person}/{n}" for n in range(8)] for person in range(5)]
    pairs = draw_pairs(people, 101)
    assert [pair.same for pair in pairs] == [True] * 51 + [False] * 50
    assert len({pair.paths for pair in pairs}) == 101
    owners = [pair.first[0] for pair in pairs if pair.same]
    assert {owners.count(f"{person}") for person in range(5)} == {10, 11}
    assert all((p.first[0] == p.second[0]) == p.same for p in pairs)
    assert draw_pairs(people, 101) == pairs


def test_all_possible_pairs_can_be_drawn() -> None:
    people = [[f"{person}/{n}" for n in range(4)] for person in range(3)]
    assert sum(pair.same for pair in draw_pairs(people, 36)) == 18
    with pytest.raises(PairError, match="which make 36 pairs") as raised:
        draw_pairs(people, 38)
    assert "Ask for 36 pairs or fewer" in raised.value.remedy
