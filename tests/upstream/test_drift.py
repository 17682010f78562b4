"""The drift check on upstream's history: it says what git says, at every revision."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

from mfn_patcher.drift.judge import Judge
from mfn_patcher.drift.tree import Tree
from mfn_patcher.drift.verdicts import HunkState, PatchState, RevisionVerdict
from mfn_patcher.patching.git import GitError, Repository
from mfn_patcher.patching.objects import Blobs
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.upstream import fetch_blobs
from tests.support.formats import validated_junit, validated_sarif
from tests.support.repositories import ROOT
from tests.support.shipped import PATHS, SERIES
from tests.support.tool import Tool


def applied_by_git(repository: Repository, commit: str, index: Path) -> list[bool]:
    """Return which patches `git apply` takes, in order, each on top of those it took."""
    env = {"GIT_INDEX_FILE": str(index)}
    entries = repository.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *PATHS).stdout
    repository.run("read-tree", "--empty", env=env)
    repository.run("update-index", "-z", "--index-info", stdin=entries, env=env)
    taken = []
    for patch in SERIES.patches:
        try:
            repository.run("apply", "--cached", "-", stdin=patch.diff, env=env)
            taken.append(True)
        except GitError:
            taken.append(False)
    return taken


def is_ambiguous(verdict: RevisionVerdict, number: int) -> bool:
    hunks = verdict.patches[number].hunks
    allowed = {HunkState.EXACT, HunkState.OFFSET, HunkState.AMBIGUOUS}
    return {hunk.state for hunk in hunks} <= allowed


def test_every_revision_as_git_says(history: Repository, tmp_path: Path) -> None:
    commits = history.out("log", "--format=%H", "refs/it", "--", *PATHS).split()
    script = history.out("log", "--format=%H", "refs/it", "--", "src/train_softmax.py").split()
    assert len(script) == 118
    assert set(script) < set(commits)
    taken_somewhere = set()
    ambiguous = []
    blobs = Blobs(history, partial(fetch_blobs, history))
    judge = Judge(SERIES.patches, blobs, SERIES.pin)
    for commit in commits:
        verdict = judge.judge(commit, Tree(commit, blobs))
        by_git = applied_by_git(history, commit, tmp_path / "index")
        for number, (patch, taken) in enumerate(zip(verdict.patches, by_git)):
            ours = patch.state in (PatchState.CLEAN, PatchState.OFFSET)
            if taken and not ours and is_ambiguous(verdict, number):
                # From here on both sides have other trees, so the rest is not compared.
                ambiguous.append((commit, patch.patch.name))
                break
            assert ours == taken, (commit, patch.patch.name, patch.state)
            if taken:
                taken_somewhere.add(patch.patch.name)
    assert taken_somewhere == {patch.name for patch in SERIES.patches}
    assert ambiguous == [], "no case on upstream so far: git took no offset that we refuse"


def test_against_the_default_branch(tool: Tool, whole_upstream: str) -> None:
    ran = tool("check", "--upstream", whole_upstream, "--against", "upstream")
    assert ran.code == 3, ran.err
    gone = "the file was removed in b774d6a1b7c6 (2020-11-06): refine repo structure"
    assert f"src/train_softmax.py: hunk 1: {gone}" in ran.out


def test_the_pin_is_exact(tool: Tool, upstream_address: str) -> None:
    ran = tool("check", "--upstream", upstream_address)
    assert ran.code == 0, ran.err
    assert f"0 of {len(SERIES.patches)} patches drift" in ran.out


def test_no_work_tree_is_needed(
    tool: Tool, upstream_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tool("check", "--upstream", upstream_address).code == 0
    assert list(tmp_path.iterdir()) == []


def test_the_commit_that_took_the_script_away(tool: Tool, whole_upstream: str) -> None:
    ran = tool("check", "--upstream", whole_upstream, "--history")
    assert ran.code == 3, ran.err
    # The history, by patch, comes last.
    history = ran.out.rpartition("\nrecipe/0003-")[2].partition("\npython3/0001-")[0].splitlines()
    assert history[-1].startswith("  gone since b774d6a1b7c6 (2020-11-06)")


def test_the_documents_of_a_real_drift(tool: Tool, whole_upstream: str) -> None:
    places = ("--upstream", whole_upstream, "--against", "upstream", "--history")
    suites = validated_junit(tool("check", *places, "--format", "junit").out)
    assert suites.attrib["failures"] == str(len(SERIES.patches))
    results = validated_sarif(tool("check", *places, "--format", "sarif").out)["results"]
    texts = [it["message"]["text"] for it in results]
    # What the patches themselves add was never upstream's to take away.
    added = {
        file.path for patch in SERIES.patches for file in patch.files if file.source_blob == ABSENT
    }
    texts = [text for text in texts if text.partition(":")[0] not in added]
    assert texts
    assert all("the file was removed in b774d6a1b7c6 (2020-11-06)" in text for text in texts)


def test_the_example_in_the_documents(
    tool: Tool, whole_upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"\(`(--against [0-9a-f]{40}\s--history .*?)`\)", page, re.DOTALL)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    options = (*shlex.split(command), "--upstream", whole_upstream, "--format", "github")
    ran = tool("check", *options)
    assert ran.code == 3, ran.err
    shown = re.sub("(?m)^> ?", "", page)
    # A patch that is added later need not be in the example; what is in it must be so.
    example = re.findall(r"(?m)^(?:### \d.*|\|.*\.patch` \|.*|\* .*)$", shown)
    assert len(example) > 20
    total = re.compile(r"of \d+ patches")
    real = total.sub("", summary.read_text(encoding="utf-8")).splitlines()
    assert {total.sub("", line) for line in example} <= set(real)
    (place, title) = re.findall(r"`patches/(\S+)`, line (\d+)", page)[0]
    annotation = next(it for it in ran.out.splitlines() if f"{place},line={title}," in it)
    text = annotation.partition("::")[2].partition("::")[2]
    assert text.replace("%0A", "\n").replace("%25", "%") in shown
    assert re.search(r"title=(.*?)::", annotation)[1] in page  # type: ignore[index]
