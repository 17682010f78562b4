"""``new``: edits in a workspace become a patch."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import load_series
from tests.support.repositories import edit, git
from tests.support.tool import Bench, Check

WHY = "The reason, in so many words that the paragraph does not fit into one line of a mail."
HEADER = (
    *("--header", f"Why={WHY}", "--header", "Origin=A test.", "--header", "Effect=None."),
    *("--author", "Me <me@a.b>"),
)


def test_at_the_end_in_a_stack_of_its_own(bench: Bench, tmp_path: Path) -> None:
    before = bench.patches()
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    (bench.workspace / "src" / "extra.py").write_text("extra\n")
    git(bench.workspace, "add", "src/extra.py")
    made = bench.files()
    ran = bench("new", "start-at-two", "--stack", "local", "--subject", "Start at two", *HEADER)
    assert ran.code == 0, ran.err
    after = bench.patches()
    name = "local/0001-start-at-two.patch"
    assert list(after) == [*before, name]
    assert {key: after[key] for key in before} == before
    patch = load_series(bench.stand_in.project).find(name)
    assert (patch.header.author, patch.header.address) == ("Me", "me@a.b")
    assert patch.header.paragraph("Why") == WHY
    assert lint(bench.stand_in.project) == []
    assert "Nothing to do" in bench.apply().out
    assert bench.files() == made
    bench.workspace = tmp_path / "elsewhere"
    assert bench.apply().code == 0
    assert bench.files() == made


def test_a_file_in_the_place_of_a_folder(bench: Bench, check: Check) -> None:
    git(bench.workspace, "rm", "--quiet", "-r", "src/common")
    (bench.workspace / "src" / "common").write_text("a file\n")
    git(bench.workspace, "add", "--sparse", "src/common")
    made = bench.files()
    ran = bench("new", "it", "--stack", "local", "--subject", "Make it a file", *HEADER)
    assert ran.code == 0, ran.err
    assert bench("revert").code == 0
    assert bench.apply().code == 0
    assert bench.files() == made
    assert check().code == 0
    assert check("--against", "upstream").code == 0


def test_in_the_middle(bench: Bench) -> None:
    before = bench.patches()
    edit(bench.workspace, "src/train.py", b"# filler 2\n", b"# filler 2\n# mine\n")
    made = bench.files()
    ran = bench("new", "mine", "--stack", "fixes", "--subject", "Add a line", *HEADER)
    assert ran.code == 0, ran.err
    after = bench.patches()
    assert list(after)[2] == "fixes/0003-mine.patch"
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {
        patch.name
        for patch in load_series(bench.stand_in.project).patches
        if patch.stack != "fixes" and "src/train.py" in patch.paths
    }
    assert lint(bench.stand_in.project) == []
    assert bench.files() == made
    assert "Nothing to do" in bench.apply().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("Bad_Name", "--stack", "local", "--subject", "x"), 1, "lower case letters"),
        (("fine", "--stack", "not/one", "--subject", "x"), 1, "lower case letters"),
        (("fine", "--stack", "local", "--subject", "x" * 73), 1, "72 characters"),
        (("fine", "--stack", "local", "--subject", " "), 1, "not valid as the subject"),
        (("fine", "--stack", "local", "--subject", "\udcff"), 1, "not UTF-8 text"),
        (
            ("fine", "--stack", "local", "--header", "Other=\udcff", "--subject", "x"),
            1,
            "not UTF-8",
        ),
        (("fine", "--stack", "local"), 2, "--subject"),
        (("fine",), 2, "--stack"),
    ],
)
def test_refused(bench: Bench, options: tuple[str, ...], code: int, message: str) -> None:
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    before = bench.patches(), bench.files(), bench.head()
    ran = bench("new", *options, *HEADER)
    assert (ran.code, message in ran.err) == (code, True), ran.err
    assert (bench.patches(), bench.files(), bench.head()) == before


def test_a_subject_of_two_lines(bench: Bench) -> None:
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    ran = bench("new", "it", "--stack", "local", "--subject", "Change\nit", *HEADER)
    assert ran.code == 0, ran.err
    assert load_series(bench.stand_in.project).patches[-1].header.subject == "Change it"


def test_without_edits(bench: Bench) -> None:
    ran = bench("new", "nothing", "--stack", "local", "--subject", "x", *HEADER)
    assert (ran.code, "there are no edits" in ran.err) == (1, True)


@pytest.mark.parametrize("author", ["A", "... <a@b>", "=?UTF-8?q?=FF?= <a@b>"])
def test_no_author(bench: Bench, author: str) -> None:
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    options = ("fine", "--stack", "local", "--subject", "x", *HEADER, "--author", author)
    ran = bench("new", *options)
    assert (ran.code, "--author must be 'Name <address>'" in ran.err) == (2, True), ran.err


def test_who_git_says(bench: Bench, hermetic: Path) -> None:
    edit(bench.workspace, "src/table.py", b".items()", b".entries()")
    options = ("fine", "--stack", "local", "--subject", "x", *HEADER[:6])
    ran = bench("new", *options)
    assert (ran.code, "git config user.name" in ran.err) == (1, True)
    with (hermetic / ".gitconfig").open("a") as file:
        file.write("[user]\n\tname = Zoë Ö\n\temail = zoe@example.invalid\n")
    assert bench("new", *options).code == 0
    header = load_series(bench.stand_in.project).patches[-1].header
    assert (header.author, header.address) == ("Zoë Ö", "zoe@example.invalid")
