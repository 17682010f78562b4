"""Commands that train, in a project for another upstream than the recipes'."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import commit, git
from tests.support.tool import Tool

pytestmark = pytest.mark.usefixtures("engines_are_imported_once")


@pytest.fixture
def project(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without patches for an upstream without folders; it is the current folder."""
    upstream = tmp_path / "libfoo"
    upstream.mkdir()
    (upstream / "foo.c").write_text("int foo;\n")
    git(upstream, "init", "--quiet")
    commit(upstream, "pin")
    folder = tmp_path / "libfoo-patches"
    assert tool("init", folder, "--upstream", upstream, "--pin", "HEAD").code == 0
    monkeypatch.chdir(folder)
    return folder


def test_the_demo_refuses_before_it_does_anything(tool: Tool, project: Path) -> None:
    before = sorted(project.rglob("*"))
    ran = tool("demo")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"mfn-patch: the patches of {project} are not for insightface: none changes "
        "src/train_softmax.py, which the recipes run\n"
        "Change to a folder without a project: the built-in patches are used there.\n"
    )
    assert sorted(project.rglob("*")) == before


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        ("train", "--stage", "2", "--cpu"),
        ("train", "--stage", "2", "--cpu", "--dry-run"),
        ("verify",),
        ("bench", "step", "--cpu"),
        ("bench", "feed", "."),
        ("doctor", "--cpu"),
    ],
)
def test_there_is_nothing_to_train(tool: Tool, project: Path, command: tuple[str, ...]) -> None:
    assert tool("apply").code == 0
    ran = tool(*command)
    assert ran.code == (4 if command[0] == "doctor" else 1), ran.err
    assert "Traceback" not in ran.err
    said = ran.out + ran.err
    if command[:2] == ("bench", "feed"):
        assert f"there is no {project / 'libfoo' / 'src' / 'image_iter.py'}" in said
    else:
        assert f"{project / 'libfoo'} is a clone without src/train_softmax.py" in said
