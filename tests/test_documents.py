"""The documentation: both languages show the same commands, and everything they show exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mfn_patcher.patching.series import load_series
from tests.support.repositories import ROOT
from tests.support.tool import Tool

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_both_languages_show_the_same_commands() -> None:
    assert commands(ENGLISH) == commands(CHINESE)
    assert "make demo" in commands(ENGLISH)


def test_both_languages_show_the_same_code_and_numbers() -> None:
    for pattern in (r"`[^`\n]+`", r"\d[\d.,]*\d"):
        assert sorted(re.findall(pattern, ENGLISH)) == sorted(re.findall(pattern, CHINESE))


@pytest.mark.long
@pytest.mark.parametrize("command", [c for c in commands(ENGLISH) if c.startswith("mfn-patch")])
def test_every_command_shown_is_understood(tool: Tool, command: str) -> None:
    _, *arguments = shlex.split(command)
    if arguments[0] == "train":
        arguments.insert(1, "--dry-run")
        # Which would say that there is no run yet.
        arguments = [argument for argument in arguments if argument != "--resume"]
    else:
        arguments = [*arguments[: 2 if arguments[0] == "data" else 1], "--help"]
    ran = tool(*arguments)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_the_recipes_patches_are_named(text: str) -> None:
    patches = [patch for patch in load_series(ROOT).patches if patch.stack == "recipe"]
    for patch in patches:
        assert patch.name.partition("/")[2][: -len(".patch")] in text


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
)
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
