"""Stacks declare which other stacks they require."""

from __future__ import annotations

import pytest

from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series
from tests.support.repositories import commit
from tests.support.toy import Toy


@pytest.fixture
def toy(toy: Toy) -> Toy:
    """Stack `second` builds on `first`, `third` on `second`, and `lone` on none."""
    toy.change("src/a.py", 10, "second")
    toy.take("second/0001-a.patch")
    toy.change("src/a.py", 11, "third")
    toy.take("third/0001-a.patch")
    toy.change("src/b.py", 3, "lone")
    toy.take("lone/0001-b.patch")
    declare(toy, "second requires first", "third requires second")
    return toy


def declare(toy: Toy, *lines: str) -> None:
    series = toy.project / "patches" / "series"
    rows = series.read_text().splitlines()
    for line in lines:
        stack = line.split()[0]
        place = next((n for n, row in enumerate(rows) if row.startswith(f"{stack}/")), len(rows))
        rows.insert(place, line)
    series.write_text("".join(f"{row}\n" for row in rows))


def test_what_a_stack_requires_is_applied_too_and_said(toy: Toy) -> None:
    ran = toy("apply", "--stack", "third")
    assert ran.code == 0, ran.err
    assert "stack third requires stack second, which is also applied" in ran.err
    assert "stack second requires stack first, which is also applied" in ran.err
    assert [line.split()[-1] for line in ran.out.splitlines()[:-1]] == [
        "first/0001-a.patch",
        "second/0001-a.patch",
        "third/0001-a.patch",
    ]


def test_what_was_asked_for_is_not_said(toy: Toy) -> None:
    ran = toy("apply", "--stack", "second", "--stack", "first", "--stack", "lone")
    assert (ran.code, "requires" in ran.err) == (0, False)
    assert len(ran.out.splitlines()) == 4


def test_without_it_the_stack_does_not_apply(toy: Toy) -> None:
    series = toy.project / "patches" / "series"
    series.write_text(series.read_text().replace("second requires first\n", ""))
    ran = toy("apply", "--stack", "second")
    assert (ran.code, "builds on patches that you left out: first/0001-a.patch" in ran.err) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("first requires second", "first requires second, which is not an earlier stack"),
        ("first requires first", "first requires first, which is not an earlier stack"),
        ("third requires nothing", "there is no stack nothing"),
        ("nothing requires first", "there is no stack nothing"),
        ("third requires first", "the requirements of stack third appear twice"),
    ],
)
def test_lint(toy: Toy, line: str, problem: str) -> None:
    assert lint(toy.project) == []
    declare(toy, line)
    assert any(problem in str(found) for found in lint(toy.project))


def test_declarations_survive_new_and_refresh(toy: Toy) -> None:
    assert toy("apply").code == 0
    toy.change("src/a.py", 30, "mine", where=toy.workspace)
    assert toy("refresh", "second/0001").code == 0
    toy.change("src/a.py", 35, "mine", where=toy.workspace)
    header = ("--subject", "Do it", "--header", "Why=w")
    ran = toy("new", "mine", "--stack", "second", *header, "--author", "Me <me@example.org>")
    assert ran.code == 0, ran.err
    series = load_series(toy.project)
    assert series.requires == {"second": ("first",), "third": ("second",)}
    assert lint(toy.project) == []


def test_a_stack_that_a_rebase_dropped_is_not_required(toy: Toy) -> None:
    """Upstream took all of a stack."""
    assert toy("apply").code == 0
    toy.branch("newer")
    toy.change("src/a.py", 9, "LINE 9")
    commit(toy.upstream, "took one")
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 0, ran.err
    assert load_series(toy.project).requires == {"third": ("second",)}
    assert lint(toy.project) == []
    assert toy("apply", "--stack", "third").code == 0
