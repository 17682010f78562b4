"""The distributions: they hold all that the tool needs, and work from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import mfn_patcher
from tests.support.repositories import ROOT, git

RELEASE = ROOT / ".github" / "workflows" / "release.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the wheel, as an installer unpacks them."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, *build, "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"mfn_patcher-{mfn_patcher.__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_every_file_of_the_package_and_the_project(site: Path) -> None:
    files = git(ROOT, "ls-files", "-z", "mfn_patcher").decode().split("\0")
    for name in filter(None, files):
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()
    bundled = site / "mfn_patcher" / "bundled"
    project = [ROOT / "patches/series", ROOT / "upstream.toml", ROOT / "pinned_commit.txt"]
    for path in [*ROOT.glob("patches/**/*.patch"), *project]:
        assert (bundled / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_it_works_where_there_is_no_checkout(site: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from mfn_patcher.cli import main; main()"
    )
    for command, says in (
        (("lint",), "no problems.\n"),
        (("--version",), f", {site / 'mfn_patcher' / 'bundled'}\n"),
        (("recipes", "list"), "mobilefacenet: "),
        (("data", "synth", "data"), "data"),
        (("data", "check", "data"), "ok "),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", program, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert says in ran.stdout


def steps() -> list[dict[str, Any]]:
    """Return the steps of the release workflow that run commands, in order."""
    jobs = yaml.safe_load(RELEASE.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"] if "run" in step]


def run_step(step: dict[str, Any], folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    python = folder / "temporary" / "bin" / "python"
    if not python.exists():
        # The runner's Python, which is not that of an environment.
        python.parent.mkdir(parents=True)
        python.symlink_to(Path(sys.executable).resolve())
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "GITHUB_REF_NAME": tag,
            "RUNNER_TEMP": str(folder / "temporary"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is committed, and the changelog of a release."""
    folder = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(folder))
    changelog = folder / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    released = f"## [{mfn_patcher.__version__}] - 2026-12-01"
    assert "## [Unreleased]" in text
    changelog.write_text(text.replace("## [Unreleased]", released), encoding="utf-8")
    return folder


def test_a_release_needs_its_version_and_its_changelog(checkout: Path) -> None:
    compare = steps()[0]
    tag = f"v{mfn_patcher.__version__}"
    assert run_step(compare, checkout, tag).returncode == 0
    assert run_step(compare, checkout, f"{tag}.1").returncode != 0
    (checkout / "CHANGELOG.md").write_text("## [Unreleased]\n")
    assert run_step(compare, checkout, tag).returncode != 0


@pytest.mark.slow
@pytest.mark.upstream
@pytest.mark.timeout(1800)
def test_a_release_builds_and_tries_the_distributions(
    checkout: Path, upstream_address: str
) -> None:
    for step in steps():
        ran = run_step(step, checkout, f"v{mfn_patcher.__version__}")
        assert ran.returncode == 0, f"{step}\n{ran.stdout}\n{ran.stderr}"
    assert "Next, on a GPU machine with MS1M" in ran.stdout
    (sdist,) = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("tests/test_wheel.py", "docs/commands.md", "mkdocs.yml", "CHANGELOG.md"):
        assert name in names
