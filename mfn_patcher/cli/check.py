"""``mfn-patch check``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli.options import (
    load_project_series,
    print_json,
    project_option,
    report,
    upstream_option,
)
from mfn_patcher.errors import ExitCode

if TYPE_CHECKING:
    from mfn_patcher.drift import History, HunkVerdict, PatchState, PatchVerdict, RevisionVerdict

# What --allow calls a patch verdict; the pin allows `exact` alone.
_ALLOWED = {"exact": "clean", "offset": "offset", "merged": "merged"}
_COLOURS = {"clean": "green", "offset": "yellow", "merged": "yellow"}


@click.command()
@click.option(
    "--against",
    "revisions",
    multiple=True,
    metavar="REV",
    help="A branch, tag or whole commit id of upstream; upstream is its default branch.",
)
@click.option(
    "--history",
    metavar="FROM..TO",
    is_flag=False,
    flag_value="pin..upstream",
    help="Also find the commits at which verdicts changed; by default from the pin to upstream.",
)
@click.option(
    "--allow",
    type=click.Choice(list(_ALLOWED)),
    help="The worst that is no drift.  [default: exact on the pin, offset elsewhere]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="For people, for programs, or as annotations of a GitHub workflow.",
)
@upstream_option
@project_option
@click.pass_context
def check(
    context: click.Context,
    revisions: tuple[str, ...],
    history: str | None,
    allow: str | None,
    form: str,
    address: str,
    project: Path | None,
) -> None:
    """Check whether the patches still fit upstream; exit with 3 if they drift.

    Without --against and --history: lint, then the whole series on the pin, to the byte. Nothing
    is patched and no workspace is needed.

    \b
    Example:
      mfn-patch check
      mfn-patch check --against upstream --history
    """
    from mfn_patcher import drift
    from mfn_patcher.lint import lint
    from mfn_patcher.project import project_root

    elsewhere = bool(revisions or history)
    problems = [] if elsewhere else lint(project_root(project))
    for problem in problems:
        click.echo(problem, err=form == "json")
    if problems:
        context.exit(ExitCode.ERROR)
    series = load_project_series(project)
    verdicts = []
    if revisions or not history:
        verdicts = drift.check(series, address, revisions, report)
    walked = None
    if history:
        first, last = (series.pin if name == "pin" else name for name in _ends(history))
        walked = drift.check_history(series, address, first, last, report)
    allowed = drift.PatchState(_ALLOWED[allow or ("offset" if elsewhere else "exact")])
    if form == "json":
        print_json(
            {
                "revisions": [_as_json(verdict) for verdict in verdicts],
                "history": walked and _history_as_json(walked),
            }
        )
    else:
        for verdict in verdicts:
            (_print_annotations if form == "github" else _print_text)(verdict, allowed)
        if walked:
            for line in _describe_history(walked):
                click.echo(f"::notice title=history::{_escape(line)}" if form == "github" else line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if form == "github" and summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(_summary(verdicts, walked))
    ends = [*verdicts, walked.last] if walked else verdicts
    if any(verdict.worst.rank > allowed.rank for verdict in ends):
        context.exit(ExitCode.DRIFT)


def _ends(history: str) -> tuple[str, str]:
    first, dots, last = history.partition("..")
    if not (first and dots and last):
        raise click.UsageError(f"--history takes FROM..TO, not {history!r}.")
    return first, last


def _describe_history(history: History) -> list[str]:
    """Say when each patch's verdict changed; the last change is the one it is in now."""
    lines = [
        f"{history.commits} commits from {history.first.commit[:12]} to "
        f"{history.last.commit[:12]} touch patched files."
    ]
    for patch in history.last.patches:
        changes = history.changes[patch.patch.name]
        if not changes:
            lines.append(f"{patch.patch.name}: {patch.state.value} all along")
        for change in changes:
            when = f"since {change.commit[:12]} ({change.date}): {change.subject}"
            lines.append(f"{patch.patch.name}: {change.verdict.state.value} {when}")
    return lines


def _history_as_json(history: History) -> dict[str, Any]:
    return {
        "from": _as_json(history.first),
        "to": _as_json(history.last),
        "commits": history.commits,
        "changes": [
            {
                "patch": name,
                "commit": change.commit,
                "date": change.date,
                "subject": change.subject,
                "verdict": change.verdict.state.value,
            }
            for name, changes in history.changes.items()
            for change in changes
        ],
    }


def _as_json(verdict: RevisionVerdict) -> dict[str, Any]:
    return {
        "revision": verdict.revision,
        "commit": verdict.commit,
        "patches": [
            {
                "patch": patch.patch.name,
                "verdict": patch.state.value,
                "needs": list(patch.needs),
                "hunks": [
                    {
                        "path": hunk.path,
                        "hunk": hunk.hunk.number,
                        "verdict": hunk.state.value,
                        "line": hunk.line or None,
                        "offset": hunk.offset,
                        "expected": _lines(hunk.hunk.source) if hunk.found else None,
                        "found": _lines(hunk.found) if hunk.found else None,
                        "moved_to": hunk.moved_to or None,
                        "similarity": round(hunk.similarity, 3) if hunk.moved_to else None,
                    }
                    for hunk in patch.hunks
                ],
            }
            for patch in verdict.patches
        ],
    }


def _lines(lines: tuple[bytes, ...]) -> list[str]:
    return [line.decode(errors="replace").rstrip("\r\n") for line in lines]


def _describe(hunk: HunkVerdict) -> str:
    """Say what became of a hunk, in a line."""
    place = f"{hunk.path}: hunk {hunk.hunk.number}"
    state = hunk.state.value
    if hunk.moved_to:
        return f"{place}: the file moved to {hunk.moved_to} ({hunk.similarity:.0%} alike)"
    if state == "file-gone":
        return f"{place}: the file is gone"
    if state == "offset":
        return f"{place}: offset {hunk.offset:+d}, now at line {hunk.line}"
    if state == "already-applied":
        return f"{place}: already applied, at line {hunk.line}"
    if state == "ambiguous":
        return f"{place}: ambiguous: its context stands in several places, one at line {hunk.line}"
    if state == "conflict" and not hunk.found:
        return f"{place}: the text fits, but the file is not the one that the patch was made for"
    return f"{place}: {state} near line {hunk.line}"


def _differences(hunk: HunkVerdict) -> list[tuple[str, str]]:
    """Return expected and found lines where they differ, side by side."""
    expected, found = _lines(hunk.hunk.source), _lines(hunk.found)
    width = max(len(expected), len(found))
    pairs = zip(*(side + [""] * (width - len(side)) for side in (expected, found)))
    return [(a, b) for a, b in pairs if a != b]


def _print_text(verdict: RevisionVerdict, allowed: PatchState) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    title = f"{verdict.revision}, {verdict.commit[:12]}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("verdict", "patch", "hunks"):
        table.add_column(column)
    for patch in verdict.patches:
        good = sum(hunk.state.value in ("exact", "offset") for hunk in patch.hunks)
        state = Text(patch.state.value, style=_COLOURS.get(patch.state.value, "red"))
        table.add_row(state, patch.patch.name, f"{good} of {len(patch.hunks)} fit")
    console.print(table)
    for patch in verdict.patches:
        bad = [hunk for hunk in patch.hunks if hunk.state.value != "exact"]
        if bad:
            console.print(f"\n{patch.patch.name}{_needs(patch)}", style="bold", markup=False)
        for hunk in bad:
            console.print(f"  {_describe(hunk)}", markup=False)
            for expected, found in _differences(hunk) if hunk.found else ():
                console.print(f"    expected: {expected}", markup=False)
                console.print(f"    found:    {found}", markup=False)
    drifted = sum(patch.state.rank > allowed.rank for patch in verdict.patches)
    console.print(f"\n{drifted} of {len(verdict.patches)} patches drift at {title}.")


def _needs(patch: PatchVerdict) -> str:
    return f" (builds on {', '.join(patch.needs)}, which does not apply)" if patch.needs else ""


def _print_annotations(verdict: RevisionVerdict, allowed: PatchState) -> None:
    """Write workflow commands, which GitHub shows on the lines of the patch files."""
    for patch in verdict.patches:
        level = "error" if patch.state.rank > allowed.rank else "notice"
        for hunk in patch.hunks:
            if hunk.state.value == "exact":
                continue
            place = f"file=patches/{patch.patch.name},line={hunk.hunk.line}"
            differences = [f"expected: {a}\nfound: {b}" for a, b in _differences(hunk)]
            text = [_describe(hunk) + _needs(patch), *(differences if hunk.found else ())]
            message = _escape("\n".join(text))
            title = f"title={patch.state.value} at {verdict.revision}"
            click.echo(f"::{level} {place},{title}::{message}")


def _summary(verdicts: list[RevisionVerdict], history: History | None) -> str:
    """Return the job summary of a GitHub workflow: a table a revision, then the history."""
    lines = []
    for verdict in verdicts:
        lines += [f"### Patches at {verdict.revision}, `{verdict.commit[:12]}`", ""]
        lines += ["| verdict | patch | hunks that do not fit |", "|---|---|---|"]
        for patch in verdict.patches:
            bad = [_describe(h) for h in patch.hunks if h.state.value not in ("exact", "offset")]
            lines.append(f"| {patch.state.value} | `{patch.patch.name}` | {'<br>'.join(bad)} |")
        lines.append("")
    if history:
        lines += ["### Since when", "", *(f"* {line}" for line in _describe_history(history)), ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    for character, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(character, code)
    return text
