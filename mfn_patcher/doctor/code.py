"""Checks of git and the patched code."""

from __future__ import annotations

from collections.abc import Iterator

from mfn_patcher.doctor.examination import Examination, error_finding, failed, passed, warned
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding
from mfn_patcher.patching import git
from mfn_patcher.patching.workspace import Workspace, compare


def check_git(_: Examination) -> Iterator[Finding]:
    """Check that git is installed and recent enough."""
    try:
        version = git.version()
    except MfnPatchError as error:
        yield error_finding("git", error)
        return
    text = f"version {'.'.join(map(str, version))}"
    if version < git.OLDEST:
        oldest = ".".join(map(str, git.OLDEST))
        yield failed("git", f"{text} is too old", f"Install git {oldest} or later.")
    else:
        yield passed("git", text)


def check_workspace(examination: Examination) -> Iterator[Finding]:
    """Check that the workspace has exactly the patches of the series."""
    workspace = Workspace(examination.context.workspace)
    series = examination.request.series
    try:
        status = workspace.status()
    except MfnPatchError as error:
        yield error_finding("workspace", error)
        return
    rows = compare(series, status.links)
    problems = [f"{name} is {state}" for name, state, _ in rows if state != "applied"]
    if status.pin != series.pin:
        problems.insert(0, f"the pin is {status.pin[:12] if status.pin else 'missing'}")
    examination.patched = not problems
    if problems:
        yield failed(
            "workspace", f"{workspace.path}: {', '.join(problems)}", "Run `mfn-patch apply`."
        )
    elif status.edits:
        edited = [*status.edits.files, *(commit[:12] for commit in status.edits.commits)]
        yield warned(
            "workspace",
            f"all {len(rows)} patches are applied in {workspace.path}, and your own edits would be "
            f"trained with them: {', '.join(edited)}",
            "`mfn-patch diff --local` shows them; `mfn-patch refresh` saves them in a patch.",
        )
    else:
        yield passed("workspace", f"all {len(rows)} patches are applied in {workspace.path}")
