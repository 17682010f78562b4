"""Completion, as bash, zsh and fish ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.recipes import loading
from tests.support.repositories import StandIn
from tests.support.runs import make_run
from tests.support.toy_series import PATCHES

pytestmark = pytest.mark.long

BIN = Path(sys.executable).parent
Complete = Callable[[str], set[str]]

# Each calls the function that the shell's own script defines, as the shell does on Tab, and prints
# what it offers. `line` is the command line up to the cursor.
_PROGRAMS = {
    "bash": """
        eval "$(_MFN_PATCH_COMPLETE=bash_source mfn-patch)"
        read -r -a COMP_WORDS <<< "$line"
        [[ $line == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        compopt() { echo "files"; }
        "$(complete -p mfn-patch | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" mfn-patch
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { function=$1; }
        compadd() { print -rl -- $completions; }
        _describe() { print -rl -- ${completions_with_descriptions%%:*}; }
        _path_files() { print files; }
        eval "$(_MFN_PATCH_COMPLETE=zsh_source mfn-patch)"
        words=(${=line})
        [[ $line == *" " ]] && words+=("")
        CURRENT=$#words
        $function
    """,
    "fish": """
        _MFN_PATCH_COMPLETE=fish_source mfn-patch | source
        complete --do-complete "$line" | string replace --regex '\\t.*' ''
    """,
}


@pytest.fixture(params=_PROGRAMS)
def complete(request: pytest.FixtureRequest, tmp_path: Path) -> Complete:
    """Return what a shell offers for a command line, up to the cursor."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")

    def offered(line: str) -> set[str]:
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "line": f"mfn-patch {line}",
        }
        options = ["--no-config"] if request.param == "fish" else []
        ran = subprocess.run(
            [shell, *options, "-c", _PROGRAMS[request.param]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stderr == ""
        return set(filter(None, ran.stdout.splitlines()))

    return offered


def test_commands_options_and_choices(complete: Complete) -> None:
    assert complete("re") == {"revert", "refresh", "rebase", "recipes", "report"}
    assert complete("data ") == {"synth", "make", "check", "show"}
    assert complete("train --dr") == {"--dry-run"}
    assert complete("export --format ") == {"slim", "onnx", "ncnn"}
    assert complete("train --engine t") == {"torch"}


def test_recipes_and_stages(complete: Complete) -> None:
    assert complete("train --recipe ") == set(loading.names())
    assert complete("recipes show m") == {"mobilefacenet"}
    assert complete("train --stage ") == {*"234", "softmax", "arcface", "finetune", "all"}
    assert complete("bench step --stage a") == {"arcface"}
    assert complete("train --stage 2,f") == {"2,finetune"}
    own = {stage.name for stage in loading.load("issue-214").stages}
    assert own < complete("train --recipe issue-214 --stage ")


def test_patches_and_stacks(complete: Complete, stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "project").symlink_to(stand_in.project)
    names = {patch.name.removesuffix(".patch") for patch in PATCHES}
    for command in ("diff ", "refresh ", "apply --without "):
        assert complete(command.replace(" ", " --project project ", 1)) == names
    stacks = {name.partition("/")[0] for name in names}
    assert complete("apply --project project --stack ") == stacks
    assert complete("new name --project project --stack ") == stacks
    # Without --project, those that come with the tool.
    assert "recipe/0001-fc7-without-bias" in complete("diff recipe/")


def test_runs(complete: Complete, tmp_path: Path) -> None:
    names = {"20260101T000000-stage2-softmax", "20260102T000000-stage3-arcface"}
    for name in names:
        make_run(tmp_path / "w", name)
    for command in ("runs show", "runs compare last", "report", "plot", "log"):
        assert complete(f"{command} -w w ") == {"last", *names}
    assert complete("report -w w 20260102") == {"20260102T000000-stage3-arcface"}


def test_checkpoints(complete: Complete, tmp_path: Path) -> None:
    saved = ["w/models/own/model-0002.params", "w/models/own/model-0010.params"]
    for name in (*saved, "elsewhere/m-12345.params", "elsewhere/other.params"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = {"w/models/own/model,2", "w/models/own/model,10"}
    for command in ("export", "eval --model", "train --pretrained"):
        assert complete(f"{command} ".replace(" ", " -w w ", 1)) == expected
        assert complete(f"{command} elsewhere/") == {"elsewhere/m,12345"}
    assert complete("eval -w w --model w/models/own/model,1") == {"w/models/own/model,10"}


def test_where_nothing_can_be_found(complete: Complete, tmp_path: Path) -> None:
    assert complete("runs show -w none ") == set()
    assert complete("runs show --workspace= last") == set()
    assert complete("train --recipe none.toml --stage ") == set()
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "series").write_text("none.patch\n")
    assert complete(f"diff --project {tmp_path} ") == set()
    # The current folder is a project whose upstream, and so the default workspace, is unknown.
    (tmp_path / "pinned_commit.txt").write_text("0" * 40)
    (tmp_path / "upstream.toml").write_text("address = 7")
    assert complete("runs show ") == set()
