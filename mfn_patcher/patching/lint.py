"""Checks of a project that need no access to upstream."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mfn_patcher.patching.crosscheck import disagreement
from mfn_patcher.patching.patchfile import PatchFormatError, Problem, parse_patch
from mfn_patcher.patching.project import read_pin, read_upstream
from mfn_patcher.patching.series import series_entries, series_requirements

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mfn_patcher.patching.patchfile import Patch


def lint(root: Path) -> list[Problem]:
    """Return all problems of the project at `root`, in the order of the files.

    Besides the format of each file, this checks that no entry of the series appears twice, that
    the series lists every patch file, that each stack is contiguous and numbered from 1, that
    requirements name earlier stacks, that each pre-image is the post-image of the patch before it,
    and that a second parser reads the same hunks.
    """
    problems: list[Problem] = []
    wanted: Iterable[str] = ()
    try:
        read_pin(root)
    except PatchFormatError as error:
        problems.append(error.problem)
    try:
        wanted = read_upstream(root).header
    except PatchFormatError as error:
        problems.append(error.problem)
    try:
        entries = series_entries(root)
    except PatchFormatError as error:
        return [*problems, error.problem]
    patches = []
    for _, name in entries:
        try:
            patches.append(parse_patch(root / "patches", name))
        except PatchFormatError as error:
            problems.append(error.problem)
            continue
        problems += _header(patches[-1], wanted)
        if found := disagreement(patches[-1]):
            problems.append(Problem(root / "patches" / name, 0, found))
    problems += _order(root / "patches", entries)
    problems += _requirements(root, entries)
    return problems + _chain(patches)


def _header(patch: Patch, wanted: Iterable[str]) -> list[Problem]:
    return [
        Problem(patch.path, 1, f"the header must contain a paragraph '{name}: ...'")
        for name in wanted
        if not patch.header.paragraph(name)
    ]


def _order(folder: Path, entries: list[tuple[int, str]]) -> list[Problem]:
    series = folder / "series"
    names = [name for _, name in entries]
    problems = [
        Problem(series, 0, f"{name} appears {count} times")
        for name, count in Counter(names).items()
        if count > 1
    ]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    problems += [
        Problem(folder / name, 0, "is not in the series")
        for name in sorted(present - set(names) - {"series"})
    ]
    seen: Counter[str] = Counter()
    previous = ""
    for line, name in entries:
        stack, _, file = name.partition("/")
        if stack != previous and stack in seen:
            problems.append(Problem(series, line, f"stack {stack} is not contiguous"))
        seen[stack] += 1
        if not file.startswith(f"{seen[stack]:04d}-"):
            problems.append(
                Problem(series, line, f"{name} must be numbered {seen[stack]:04d}, by its position")
            )
        previous = stack
    return problems


def _requirements(root: Path, entries: list[tuple[int, str]]) -> list[Problem]:
    series = root / "patches" / "series"
    stacks = list(dict.fromkeys(name.partition("/")[0] for _, name in entries))
    problems = []
    seen = set()
    for line, stack, needed in series_requirements(root):
        if stack in seen:
            problems.append(
                Problem(series, line, f"the requirements of stack {stack} appear twice")
            )
        seen.add(stack)
        for name in (stack, *needed):
            if name not in stacks:
                problems.append(Problem(series, line, f"there is no stack {name}"))
            elif name in needed and stack in stacks[: stacks.index(name) + 1]:
                problems.append(
                    Problem(series, line, f"{stack} requires {name}, which is not an earlier stack")
                )
    return problems


def _chain(patches: list[Patch]) -> list[Problem]:
    left: dict[str, tuple[str, str]] = {}
    problems = []
    for patch in patches:
        for file in patch.files:
            if file.only_mode:
                continue
            blob, before = left.get(file.path, (file.source_blob, ""))
            if blob != file.source_blob:
                problems.append(
                    Problem(
                        patch.path,
                        file.line,
                        f"{file.path}: expects blob {file.source_blob[:12]}, "
                        f"but {before} makes {blob[:12]}",
                    )
                )
            left[file.path] = (file.target_blob, patch.name)
    return problems
