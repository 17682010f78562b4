"""Parsing, selecting and linting patches."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import pytest

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.patchfile import PatchFormatError, parse_patch
from mfn_patcher.patching.series import load_series
from tests.support.repositories import StandIn, edit, write_upstream
from tests.support.tool import Tool, validated
from tests.support.toy_series import NO_BIAS, PATCHES, RANGES, ROUNDS


@pytest.fixture
def project(stand_in: StandIn) -> Path:
    return stand_in.project


def messages(project: Path) -> list[str]:
    return [str(problem).replace(f"{project}/", "") for problem in lint(project)]


def test_a_patch_is_parsed_to_the_byte(project: Path) -> None:
    patch = parse_patch(project / "patches", RANGES)
    file = next(file for file in patch.files if file.path == ROUNDS)
    (hunk,) = file.hunks
    assert hunk.source[3] == b"    for i in xrange(round):\r\n"
    assert hunk.target[3] == b"    for i in range(round):\r\n"
    lines = patch.data.split(b"\n")
    assert lines[hunk.line - 1].startswith(b"@@ -7,7 +7,7 @@")
    assert lines[file.line - 1].startswith(b"diff --git a/src/rounds.py")
    assert patch.header.subject == "Count with range and divide whole numbers"
    assert patch.header.paragraph("Effect") == "None."


def test_selecting(project: Path) -> None:
    series = load_series(project)
    assert series.select() == series.patches
    assert {patch.stack for patch in series.select(("fixes",))} == {"fixes"}
    without = series.select((), ("fixes/0002", "port/0002-items"))
    assert len(without) == len(series.patches) - 2
    assert series.find(NO_BIAS) is series.find("fixes/0001")
    for wrong in (("stack",), ()), ((), ("fixes/0009",)), ((), ("fixes",)):
        with pytest.raises(MfnPatchError) as error:
            series.select(*wrong)
        assert "fixes" in error.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"From: mfn-patch maintainers <maintainers@mfn-patch.invalid>\n", b"", "From: Name"),
        (b"Tue, 24 Nov 2026 00:00:00 +0000", b"yesterday", "Date:"),
        (b"+0000\n", b"-0000\n", "offset"),
        (b"Subject: ", b"About: ", "Subject:"),
        (b"\n---\n", b"\n", "a line '---' directly before the diff"),
        (b"Why: The", b"Why: \xff\xfe", "UTF-8"),
        (b"Subject: Leave", b"Subject: \r\nLeave", "CRLF"),
        (b"diff --git", b"dif", "contains no git diff"),
        (b"\nindex ", b"\nindex 0", "full blob ids"),
        (b"@@ -17,8 +17,7 @@", b"@@ -17,9 +17,7 @@", "does not parse"),
        (
            b"diff --git a/src/train.py b/src/train.py",
            b"diff --git a/x b/x\r",
            "CRLF",
        ),
    ],
)
def test_what_a_patch_must_have(project: Path, old: bytes, new: bytes, message: str) -> None:
    edit(project / "patches", NO_BIAS, old, new)
    (found,) = [text for text in messages(project) if NO_BIAS in text]
    assert message in found
    with pytest.raises(PatchFormatError, match=NO_BIAS):
        load_series(project)


@pytest.mark.parametrize("name", ["Why", "Origin", "Effect"])
def test_what_a_header_must_say_where_the_project_wants_it(project: Path, name: str) -> None:
    edit(project / "patches", NO_BIAS, f"{name}: ".encode(), b"And: ")
    found = messages(project)
    assert found == [f"patches/{NO_BIAS}:1: the header must contain a paragraph '{name}: ...'"]
    write_upstream(project)
    assert messages(project) == []


def test_a_date_that_git_cannot_store(project: Path) -> None:
    file = project / "patches" / NO_BIAS
    file.write_bytes(
        re.sub(rb"\nDate: .*", b"\nDate: Sun, 01 Jan 1950 00:00:00 +0000", file.read_bytes())
    )
    assert any("before 1970" in message for message in messages(project))


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "src/../../x",
        ".git/config",
        "GIT~1/x",
        "a/.git. /x",
        "a\\\\.git/x",
        ".git:s/x",
    ],
)
def test_paths_that_leave_the_tree(project: Path, path: str) -> None:
    file = project / "patches" / NO_BIAS
    file.write_bytes(file.read_bytes().replace(b"src/train.py", path.encode()))
    assert any("leaves the tree" in message for message in messages(project))


def test_a_problem_is_one_line(tool: Tool, project: Path) -> None:
    file = project / "patches" / NO_BIAS
    file.write_bytes(re.sub(rb"\b([ab]/src/)(train.py)", rb'"\1\\n\2"', file.read_bytes()))
    ran = tool("lint", "--project", project)
    assert "control character" in ran.out
    assert all(line.startswith(f"{project}/") for line in ran.out.splitlines()), ran.out


def test_a_binary_patch(project: Path) -> None:
    file = project / "patches" / NO_BIAS
    head, _, _ = file.read_bytes().partition(b"--- a/src")
    file.write_bytes(head + b"Binary files a/src/train.py and b/src/train.py differ\n")
    assert any("binary" in message for message in messages(project))


def test_the_order_and_the_chain(project: Path) -> None:
    series = project / "patches" / "series"
    lines = series.read_text().splitlines()
    (project / "patches" / "fixes" / "notes.txt").write_text("x")
    series.write_text("".join(f"{lines[number]}\n" for number in (1, 2, 0, 3, 2)))
    found = "\n".join(messages(project))
    assert "patches/series:1: fixes/0002" in found
    assert "must be numbered 0001, by its position" in found
    assert "stack fixes is not contiguous" in found
    assert "patches/fixes/notes.txt: is not in the series" in found
    assert "port/0001-ranges.patch appears 2 times" in found
    assert "expects blob" in found


def test_files_that_are_missing(project: Path) -> None:
    (project / "patches" / NO_BIAS).unlink()
    (project / "pinned_commit.txt").write_text("master\n")
    found = "\n".join(messages(project))
    assert "0001-no-bias.patch: cannot be read: No such file" in found
    assert "pinned_commit.txt:1: must contain a commit id" in found
    (project / "patches" / "series").unlink()
    assert any("patches/series: cannot be read" in message for message in messages(project))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_as_editors_on_windows_leave_them(project: Path, ends: str, mark: str) -> None:
    for name in ("pinned_commit.txt", "upstream.toml", "patches/series"):
        text = mark + (project / name).read_text()
        (project / name).write_bytes(text.replace("\n", f" {ends}").encode())
    assert messages(project) == []
    assert len(load_series(project).patches) == len(PATCHES)


@pytest.mark.parametrize("text", ["a\u2028b", "a\rb", "a\0b", "a\x0cb"])
def test_only_a_line_feed_ends_a_line_of_the_series(project: Path, text: str) -> None:
    series = project / "patches" / "series"
    listing = series.read_text()
    series.write_text(f"# {text}\n{listing}", newline="")
    assert messages(project) == []
    series.write_text(f"{text}\n{listing}", newline="")
    assert any(f"{text!r} must have the form" in message for message in messages(project))


def test_a_patch_with_a_byte_order_mark(project: Path) -> None:
    file = project / "patches" / NO_BIAS
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    assert any("begins with a byte order mark" in message for message in messages(project))


def test_the_command(tool: Tool, project: Path) -> None:
    ran = tool("lint", "--project", project)
    counts = f"{len(PATCHES)} patches in 2 stacks"
    assert (ran.code, ran.out) == (0, f"{counts}: no problems.\n")
    edit(project / "patches", NO_BIAS, b"Why: ", b"Because: ")
    ran = tool("lint", "--project", project)
    assert ran.code == 1
    assert ran.out.startswith(
        f"{project}/patches/{NO_BIAS}:1: the header must contain a paragraph 'Why: ...'"
    )
    command = ("lint", "--project", project, "--json")
    as_json = tool(*command)
    found = validated("lint", as_json.out)
    assert (as_json.code, found["ok"]) == (1, False)
    assert found["problems"][0]["file"] == f"{project}/patches/{NO_BIAS}"
    assert found["problems"][0]["line"] == 1
    (project / "patches" / "stray").touch()
    assert None in {it["line"] for it in validated("lint", tool(*command).out)["problems"]}
