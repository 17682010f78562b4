"""Offline checks of ``patches/``: everything that can be wrong without asking upstream."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mfn_patcher.patching.series import (
    PatchFormatError,
    Problem,
    parse_patch,
    read_pin,
    series_entries,
    series_requirements,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mfn_patcher.patching.series import Patch


def lint(root: Path) -> list[Problem]:
    """Return every problem of the project at `root`, in the order of the files.

    Beside what `parse_patch` refuses, these are checked: entries that stand twice, patch files
    that the series does not name, stacks that are not in one piece, numbers that do not count
    1, 2, 3 within a stack, and a pre-image that is not what the patch before it leaves.
    """
    problems: list[Problem] = []
    try:
        read_pin(root)
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
    problems += _order(root / "patches", entries)
    problems += _requirements(root, entries)
    return problems + _chain(patches)


def _order(folder: Path, entries: list[tuple[int, str]]) -> list[Problem]:
    series = folder / "series"
    names = [name for _, name in entries]
    problems = [
        Problem(series, 0, f"{name} stands {count} times")
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
            problems.append(Problem(series, line, f"stack {stack} is in more than one piece"))
        seen[stack] += 1
        if not file.startswith(f"{seen[stack]:04d}-"):
            problems.append(
                Problem(series, line, f"{name} is number {seen[stack]} of its stack by order")
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
            problems.append(Problem(series, line, f"stack {stack} declares twice what it requires"))
        seen.add(stack)
        for name in (stack, *needed):
            if name not in stacks:
                problems.append(Problem(series, line, f"there is no stack {name}"))
            elif name in needed and stack in stacks[: stacks.index(name) + 1]:
                problems.append(
                    Problem(series, line, f"{stack} requires {name}, which does not come before it")
                )
    return problems


def _chain(patches: list[Patch]) -> list[Problem]:
    left: dict[str, tuple[str, str]] = {}
    problems = []
    for patch in patches:
        for file in patch.files:
            blob, before = left.get(file.path, (file.source_blob, ""))
            if blob != file.source_blob:
                problems.append(
                    Problem(
                        patch.path,
                        file.line,
                        f"{file.path}: expects blob {file.source_blob[:12]}, "
                        f"but {before} leaves {blob[:12]}",
                    )
                )
            left[file.path] = (file.target_blob, patch.name)
    return problems
