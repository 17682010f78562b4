"""The documentation: both languages show the same commands, and everything they show exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfn_patcher.patching.series import load_series
from tests.cli.test_help import COMMANDS, GROUPS
from tests.support.command_lines import own_parts, parse
from tests.support.repositories import ROOT
from tests.support.tool import Tool

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_both_languages_show_the_same_commands() -> None:
    assert commands(ENGLISH) == commands(CHINESE)
    assert "make demo" in commands(ENGLISH)


def test_both_languages_show_the_same_code_and_numbers() -> None:
    for pattern in (r"`[^`\n]+`", r"\d[\d.,]*\d"):
        assert sorted(re.findall(pattern, ENGLISH)) == sorted(re.findall(pattern, CHINESE))


def shown(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each call of the tool in a document's blocks, and between backticks.

    Between backticks, a command without arguments is only named.
    """
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            yield from own_parts(line)
    for span in re.findall(r"`(mfn-patch [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        for arguments in own_parts(" ".join(span.split())):
            name = arguments[: 2 if arguments[0] in GROUPS else 1]
            if arguments != name and not {"--version", "..."} & set(arguments):
                yield arguments


CALLS = [
    pytest.param(arguments, id=f"{page.stem}: {' '.join(arguments)}")
    for page in PAGES
    for arguments in shown(page)
]


@pytest.mark.parametrize("arguments", CALLS)
def test_every_command_shown_is_understood(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parse([each for each in arguments if not each.startswith("$")], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_named_exists(page: Path) -> None:
    names = re.findall(r"`mfn-patch ([a-z]+)(?: ([a-z]+))?", page.read_text(encoding="utf-8"))
    for name, second in names:
        assert name in {each.split()[0] for each in COMMANDS}, name
        if name in GROUPS and second:
            assert f"{name} {second}" in COMMANDS


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
@pytest.mark.parametrize(
    "command",
    [
        command
        for command in commands(f"{ENGLISH}{(ROOT / 'docs/training.md').read_text()}")
        if command.startswith("mfn-patch train")
    ],
)
def test_every_training_shown_is_planned(tool: Tool, command: str) -> None:
    # To resume would say that there is no run yet.
    words = [word for word in shlex.split(command)[1:] if word != "--resume"]
    ran = tool(words[0], "--dry-run", *words[1:])
    # Only the machine that it is meant for has what it needs.
    assert ran.code == 1
    assert "train_softmax.py does not exist" in ran.err
    assert "train_softmax.py --network y1" in ran.out


def test_every_patch_of_the_recipe_is_described() -> None:
    text = (ROOT / "docs" / "changes.md").read_text(encoding="utf-8")
    for patch in load_series(ROOT).patches:
        assert f"## `{patch.stack}`" in text
        if patch.stack == "recipe":
            assert patch.name.partition("/")[2][: -len(".patch")] in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "program",
    [path for path in sorted((ROOT / "docs" / "programs").rglob("*")) if path.is_file()],
    ids=lambda path: path.name,
)
def test_programs_are_shown_as_they_are_tested(program: Path) -> None:
    assert f"\n{program.read_text(encoding='utf-8')}```\n" in (
        ROOT / "docs" / "export.md"
    ).read_text(encoding="utf-8")
