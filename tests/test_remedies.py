"""Commands in remedies: they work as they are printed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mfn_patcher import remedies
from mfn_patcher.finding import Finding, Level
from tests.support.repositories import ROOT

SCRIPT = Path(sysconfig.get_path("scripts"), "mfn-patch")


# -- the name of the program --------------------------------------------------------------


def complaint(start: list[str], folder: Path, path: str = os.defpath) -> str:
    """Return what a command says that fails with a remedy that names a command."""
    ran = subprocess.run(
        [*start, "status"],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    return ran.stderr


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A copy of the program at a place that a shell would have to quote."""
    folder = tmp_path / "a b" / "bin"
    folder.mkdir(parents=True)
    return Path(shutil.copy(SCRIPT, folder))


def test_a_program_that_no_shell_finds_is_named_by_its_path(script: Path, tmp_path: Path) -> None:
    relative = script.relative_to(tmp_path)
    for typed in (script, relative):
        assert f"`'{typed}' apply`" in complaint([str(typed)], tmp_path)


def test_a_program_that_the_shell_finds_is_named_by_its_name(script: Path, tmp_path: Path) -> None:
    link = tmp_path / "links" / "mfn-patch"
    link.parent.mkdir()
    link.symlink_to(script)
    for typed, path in ((script, script.parent), (script, link.parent), (link, link.parent)):
        said = complaint([str(typed)], tmp_path, f"{path}:{os.defpath}")
        assert "`mfn-patch apply`" in said
        assert "a b" not in said


def test_another_program_of_that_name_is_not_taken_for_it(script: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "mfn-patch"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    said = complaint([str(script)], tmp_path, f"{other.parent}:{os.defpath}")
    assert f"`'{script}' apply`" in said


def test_started_as_a_module(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "mfn_patcher"]
    assert f"`{sys.executable} -m mfn_patcher apply`" in complaint(start, tmp_path)
    bare = Path(sys.executable).name
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    assert f"`{bare} -m mfn_patcher apply`" in complaint(start, tmp_path, path)


def test_the_printed_command_runs(script: Path, tmp_path: Path) -> None:
    said = complaint([str(script)], tmp_path)
    (command,) = re.findall(r"`(.*?) apply`", said)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*shlex.split(command), "--version"], env=environment, check=True)


def test_usage_names_it_too(script: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [script, "status", "--none"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert f"Usage: '{script}' status" in ran.stderr


def test_only_commands_in_backticks_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bin/mfn-patch"])
    monkeypatch.setenv("PATH", "")
    for text, typed in {
        "`mfn-patch apply` or `mfn-patch rebase\n--abort`": "`bin/mfn-patch apply` or "
        "`bin/mfn-patch rebase\n--abort`",
        "`mpirun -n 4 mfn-patch train`": "`mpirun -n 4 bin/mfn-patch train`",
        "mfn-patch `x` of mfn-patch train": "mfn-patch `x` of mfn-patch train",
        "`git switch mfn-patch-2 saved/mfn-patch`": "`git switch mfn-patch-2 saved/mfn-patch`",
    }.items():
        assert remedies.as_typed(text) == typed
    finding = Finding(Level.ERROR, "x", "y", "Run `mfn-patch apply`.")
    assert finding.as_json()["remedy"] == "Run `bin/mfn-patch apply`."


# -- installing extras --------------------------------------------------------------------


def installed_from(
    origin: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extra: str = "onnx"
) -> list[str]:
    """Return the words of the command where an installer has noted an origin."""
    info = tmp_path / "site" / "mfn_patcher-0.1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: mfn-patcher\nVersion: 0.1.0\n"
        "Requires-Dist: click>=8.1\n"
        "Requires-Dist: numpy<1.24; (python_version < '3.12') and extra == 'onnx'\n"
        "Requires-Dist: onnx==1.14.1; extra == 'onnx'\n"
        "Requires-Dist: ncnn==1.0; extra == 'ncnn'\n"
    )
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(info.parent)
    words = shlex.split(remedies.install(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    return words[4:]


def try_out(words: list[str]) -> str:
    """Let pip say what the command would do, without any index."""
    offline = ["--dry-run", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_from_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a check-out"
    folder.symlink_to(ROOT)
    origin = {"url": folder.as_uri(), "dir_info": {}}
    words = installed_from(origin, monkeypatch, tmp_path)
    assert words == [f"{folder}[onnx]"]
    assert "Would install mfn-patcher-" in try_out(words)


def test_from_an_editable_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    origin = {"url": ROOT.as_uri(), "dir_info": {"editable": True}}
    words = installed_from(origin, monkeypatch, tmp_path)
    assert words == ["--editable", f"{ROOT}[onnx]"]


def test_from_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, *build, "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    words = installed_from({"url": wheel.as_uri(), "archive_info": {}}, monkeypatch, tmp_path)
    assert words == [f"{wheel}[onnx]"]
    assert "Would install mfn-patcher-" in try_out(words)


def test_from_a_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "https://user:secret@host.example/mfn-patch.git"
    origin = {"url": url, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
    words = installed_from(origin, monkeypatch, tmp_path)
    assert words == [f"mfn-patcher[onnx] @ git+https://host.example/mfn-patch.git@{'0' * 40}"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/them/mfn-patch.git", ("them/mfn-patch", "0" * 40)),
        ("ssh://git@github.com/them/mfn-patch", ("them/mfn-patch", "0" * 40)),
        ("https://example.org/them/mfn-patch", None),
        ("https://github.com/them/mfn-patch\nx: y", None),
    ],
)
def test_where_it_is_on_github(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, found: tuple[str, str] | None
) -> None:
    origin = {"url": url, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
    installed_from(origin, monkeypatch, tmp_path)
    assert remedies.on_github() == found
    installed_from({"url": url, "archive_info": {}}, monkeypatch, tmp_path)
    assert remedies.on_github() is None


def test_from_an_archive_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    origin = {"url": "https://host.example/m.tar.gz", "archive_info": {}, "subdirectory": "a/b"}
    words = installed_from(origin, monkeypatch, tmp_path)
    assert words == ["mfn-patcher[onnx] @ https://host.example/m.tar.gz#subdirectory=a/b"]


@pytest.mark.parametrize(
    "origin",
    [
        None,
        {"url": "file:///none/mfn-patch", "dir_info": {}},
        {"url": ROOT.as_uri(), "vcs_info": {"vcs": "git", "commit_id": "0" * 40}},
    ],
)
def test_nothing_names_it_to_pip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: object
) -> None:
    # Without a note, what lies beside the package is tried first: here that is no checkout.
    monkeypatch.setattr(remedies, "__file__", str(tmp_path / "site" / "mfn_patcher" / "x.py"))
    words = installed_from(origin, monkeypatch, tmp_path)
    assert words == ["numpy<1.24; (python_version < '3.12')", "onnx==1.14.1"]


def test_a_checkout_that_was_never_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert installed_from(None, monkeypatch, tmp_path) == [f"{ROOT}[onnx]"]


def test_an_environment_without_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert remedies.pip_install() == f"uv pip install --python {sys.executable}"
    assert remedies.pip_install("/other/python") == "/other/python -m pip install"


def test_no_text_names_a_package_that_no_index_has() -> None:
    documents = [*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")]
    for path in [*(ROOT / "mfn_patcher").rglob("*.py"), *documents]:
        assert "mfn-patcher[" not in path.read_text(), path
