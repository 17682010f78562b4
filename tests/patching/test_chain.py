"""Chains against git: the trees of `git apply`, the commits of `git commit-tree`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mfn_patcher.patching.chain import PatchConflictError, build_chain, commit_patch
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.objects import MissingBlobError
from mfn_patcher.patching.series import load_series
from tests.support.repositories import DIFF, StandIn, commit, git, write_project


def expect_gits_commits(project: Path, upstream: Path) -> None:
    """Build the chain, and let git make it patch by patch."""
    series = load_series(project)
    repository = Repository(upstream)
    links = build_chain(repository, series, series.patches)
    assert len(links) == len(series.patches)
    parent = series.pin
    env = {"GIT_INDEX_FILE": str(project / "index")}
    repository.run("read-tree", parent, env=env)
    for patch, link in zip(series.patches, links):
        repository.run("apply", "--cached", "-", stdin=patch.diff, env=env)
        parent = commit_patch(repository, patch, repository.out("write-tree", env=env), parent)
        assert link.commit == parent
    assert "building" not in repository.out("for-each-ref")


def test_the_whole_series(stand_in: StandIn) -> None:
    expect_gits_commits(stand_in.project, stand_in.upstream)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    folder = tmp_path / "upstream"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "alone").write_text("alone\n")
    (folder / "file").write_bytes(b"".join(b"line %d\n" % number for number in range(30)))
    git(folder, "init", "--quiet", "--initial-branch=master")
    commit(folder, "The pin")
    return folder


def diff_of(upstream: Path) -> bytes:
    """Return what was edited as a diff, and commit it on a branch beside."""
    git(upstream, "add", "--all")
    diff = git(upstream, *DIFF, "--no-renames", "--cached")
    git(upstream, "commit", "--quiet", "--message", "edited")
    return diff


@pytest.mark.parametrize("author", ["A <a@b>", "\"'J. Doe, Jr.'\" <j.doe@b>", "Zoë Ü <z@b>"])
def test_files_of_every_kind(tmp_path: Path, upstream: Path, author: str) -> None:
    pin = git(upstream, "rev-parse", "HEAD").decode().strip()
    (upstream / "new").mkdir()
    (upstream / "new" / "tool").write_text("a tool\nwithout a last line break".rstrip("\n"))
    (upstream / "new" / "tool").chmod(0o755)
    (upstream / "plain one").write_text("plain\n")
    diffs = [diff_of(upstream)]
    (upstream / "file").chmod(0o755)
    (upstream / "file").write_bytes((upstream / "file").read_bytes().replace(b"line 9\n", b""))
    (upstream / "new" / "tool").write_text("a tool\nof another kind\n")
    diffs.append(diff_of(upstream))
    (upstream / "sub" / "alone").unlink()
    (upstream / "plain one").unlink()
    diffs.append(diff_of(upstream))
    shutil.rmtree(upstream / "new")
    (upstream / "new").write_text("a file in the place of a folder\n")
    (upstream / "file").unlink()
    (upstream / "file").mkdir()
    (upstream / "file" / "inside").write_text("a folder in the place of a file\n")
    diffs.append(diff_of(upstream))
    write_project(tmp_path / "project", pin, diffs, author)
    expect_gits_commits(tmp_path / "project", upstream)


@pytest.mark.long
def test_two_hundred_patches_of_one_file(tmp_path: Path, upstream: Path) -> None:
    pin = git(upstream, "rev-parse", "HEAD").decode().strip()
    diffs = []
    for number in range(200):
        file = upstream / "file"
        file.write_bytes(file.read_bytes() + b"more %d\n" % number)
        diffs.append(diff_of(upstream))
    write_project(tmp_path / "project", pin, diffs)
    expect_gits_commits(tmp_path / "project", upstream)


@pytest.mark.parametrize("path", ["file", "sub", "file/below"])
def test_a_new_file_where_something_is(tmp_path: Path, upstream: Path, path: str) -> None:
    pin = git(upstream, "rev-parse", "HEAD").decode().strip()
    blob = git(upstream, "hash-object", "--stdin", stdin=b"new\n").decode().strip()
    diff = (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\nindex {'0' * 40}..{blob}\n"
        f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+new\n"
    )
    write_project(tmp_path / "project", pin, [diff.encode()])
    series = load_series(tmp_path / "project")
    with pytest.raises(PatchConflictError, match=f"{path}: already exists"):
        build_chain(Repository(upstream), series, series.patches)


def test_a_patch_that_leaves_another_blob(stand_in: StandIn) -> None:
    series = load_series(stand_in.project)
    path = series.patches[0].path
    data = path.read_bytes()
    left = series.patches[0].files[0].target_blob
    path.write_bytes(data.replace(left.encode(), b"1" * 40))
    series = load_series(stand_in.project)
    with pytest.raises(PatchConflictError, match=f"becomes blob {left}, not {'1' * 40}"):
        build_chain(Repository(stand_in.upstream), series, series.patches)


def test_a_blob_that_is_gone(tmp_path: Path, upstream: Path) -> None:
    pin = git(upstream, "rev-parse", "HEAD").decode().strip()
    blob = git(upstream, "rev-parse", "HEAD:sub/alone").decode().strip()
    (upstream / "sub" / "alone").write_text("two\n")
    write_project(tmp_path / "project", pin, [diff_of(upstream)])
    (upstream / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    series = load_series(tmp_path / "project")
    with pytest.raises(MissingBlobError, match=f"lacks the content of blob {blob}"):
        build_chain(Repository(upstream), series, series.patches)
