"""Parsing, selecting and linting patches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.lint import lint
from mfn_patcher.patching.series import PatchFormatError, load_series, parse_patch
from tests.support.preimages import ROOT, SERIES
from tests.support.tool import Tool, validated

FIRST = "recipe/0001-fc7-without-bias.patch"
CRLF = "python3/0001-range-for-xrange.patch"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "patches", tmp_path / "patches")
    shutil.copy(ROOT / "pinned_commit.txt", tmp_path)
    return tmp_path


def replace(project: Path, name: str, old: bytes, new: bytes) -> None:
    path = project / "patches" / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def messages(project: Path) -> list[str]:
    return [str(problem).replace(f"{project}/", "") for problem in lint(project)]


def test_the_projects_own_series_is_clean() -> None:
    assert lint(ROOT) == []
    series = load_series(ROOT)
    assert series.pin == "4bc813215a4603474c840c85fa2113f5354c7180"
    assert series.stacks[:2] == ("recipe", "python3")
    assert sum(patch.stack == "recipe" for patch in series.patches) == 3


def test_every_hunk_has_three_lines_of_context_at_most() -> None:
    for patch in load_series(ROOT).patches:
        for file in patch.files:
            assert all(hunk.leading <= 3 and hunk.trailing <= 3 for hunk in file.hunks), patch.name


def test_a_patch_is_parsed_to_the_byte() -> None:
    patch = parse_patch(ROOT / "patches", CRLF)
    file = next(file for file in patch.files if file.path == "src/symbols/fxception.py")
    (hunk,) = file.hunks
    assert hunk.source[3] == b"    for i in xrange(round):\r\n"
    assert hunk.target[3] == b"    for i in range(round):\r\n"
    lines = patch.data.split(b"\n")
    assert lines[hunk.line - 1].startswith(b"@@ -50,7 +50,7 @@")
    assert lines[file.line - 1].startswith(b"diff --git a/src/symbols/fxception.py")
    assert patch.header.subject == "Count with range, which Python 3 has"
    assert patch.header.paragraph("Effect") == "None."


def test_selecting() -> None:
    series = load_series(ROOT)
    assert series.select() == series.patches
    assert {patch.stack for patch in series.select(("recipe",))} == {"recipe"}
    without = series.select((), ("recipe/0003", "python3/0010-opencv-imread-flags"))
    assert len(without) == len(series.patches) - 2
    assert series.find(FIRST) is series.find("recipe/0001")
    for wrong in (("stack",), ()), ((), ("recipe/0009",)), ((), ("recipe",)):
        with pytest.raises(MfnPatchError) as error:
            series.select(*wrong)
        assert "recipe" in error.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"From: mfn-patch maintainers <maintainers@mfn-patch.invalid>\n", b"", "From: Name"),
        (b"Tue, 24 Nov 2026 00:00:00 +0000", b"yesterday", "Date:"),
        (b"+0000\n", b"-0000\n", "offset"),
        (b"plain softmax\n", b"plain softmax.\n", "full stop"),
        (b"Why: ", b"Because: ", "a paragraph 'Why: ...'"),
        (b"Origin: ", b"From there: ", "a paragraph 'Origin: ...'"),
        (b"Effect: One", b"One", "a paragraph 'Effect: ...'"),
        (b"\n---\n", b"\n", "a line '---' right before the diff"),
        (b"Why: The", b"Why: \xff\xfe", "UTF-8"),
        (b"Subject: Leave", b"Subject: \r\nLeave", "CRLF"),
        (b"diff --git", b"dif", "holds no git diff"),
        (b"cafd933cb34ee88f8c1226acbdb778d2d0e662fe", b"cafd933", "full blob ids"),
        (b"@@ -177,8 +177,7 @@", b"@@ -177,9 +177,7 @@", "does not parse"),
        (
            b"diff --git a/src/train_softmax.py b/src/train_softmax.py",
            b"diff --git a/x b/x\r",
            "CRLF",
        ),
    ],
)
def test_what_a_patch_must_have(project: Path, old: bytes, new: bytes, message: str) -> None:
    replace(project, FIRST, old, new)
    (found,) = [text for text in messages(project) if FIRST in text]
    assert message in found
    with pytest.raises(PatchFormatError, match="0001-fc7-without-bias"):
        load_series(project)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "src/../../x", ".git/config"])
def test_paths_that_leave_the_tree(project: Path, path: str) -> None:
    file = project / "patches" / FIRST
    file.write_bytes(file.read_bytes().replace(b"src/train_softmax.py", path.encode()))
    assert any("leaves the tree" in message for message in messages(project))


def test_a_binary_patch(project: Path) -> None:
    file = project / "patches" / FIRST
    head, _, _ = file.read_bytes().partition(b"--- a/src")
    file.write_bytes(
        head + b"Binary files a/src/train_softmax.py and b/src/train_softmax.py differ\n"
    )
    assert any("binary" in message for message in messages(project))


def test_the_order_and_the_chain(project: Path) -> None:
    series = project / "patches" / "series"
    lines = series.read_text().splitlines()
    (project / "patches" / "recipe" / "notes.txt").write_text("x")
    series.write_text(
        "\n".join([lines[0], lines[2], lines[1], *lines[4:], lines[3], lines[4]]) + "\n"
    )
    found = "\n".join(messages(project))
    assert "patches/series:2: recipe/0002" in found
    assert "number 1 of its stack by order" in found
    assert "stack recipe is in more than one piece" in found
    assert "patches/recipe/notes.txt: is not in the series" in found
    assert "python3/0001-range-for-xrange.patch stands 2 times" in found
    assert "expects blob" in found


def test_files_that_are_missing(project: Path) -> None:
    (project / "patches" / FIRST).unlink()
    (project / "pinned_commit.txt").write_text("master\n")
    found = "\n".join(messages(project))
    assert "0001-fc7-without-bias.patch: cannot be read: No such file" in found
    assert "pinned_commit.txt:1: must hold a commit id" in found
    (project / "patches" / "series").unlink()
    assert any("patches/series: cannot be read" in message for message in messages(project))


def test_the_command(tool: Tool, project: Path) -> None:
    ran = tool("lint", "--project", project)
    counts = f"{len(SERIES.patches)} patches in {len(SERIES.stacks)} stacks"
    assert (ran.code, ran.out) == (0, f"{counts}: no problems.\n")
    replace(project, FIRST, b"Why: ", b"Because: ")
    ran = tool("lint", "--project", project)
    assert ran.code == 1
    assert ran.out.startswith(
        f"{project}/patches/{FIRST}:1: the header needs a paragraph 'Why: ...'"
    )
    command = ("lint", "--project", project, "--json")
    as_json = tool(*command)
    found = validated("lint", as_json.out)
    assert (as_json.code, found["ok"]) == (1, False)
    assert found["problems"][0]["file"] == f"{project}/patches/{FIRST}"
    assert found["problems"][0]["line"] == 1
    (project / "patches" / "stray").touch()
    assert None in {it["line"] for it in validated("lint", tool(*command).out)["problems"]}
