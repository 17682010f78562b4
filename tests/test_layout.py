"""The layout of the package: imports point downward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mfn_patcher

PACKAGE = Path(mfn_patcher.__file__).parent

# From top to bottom. A part may import its own level and those below; where two parts of one level
# import each other, neither can be read alone.
LEVELS = (
    ("cli",),
    ("doctor",),
    ("cluster",),
    ("training", "evaluation", "export"),
    ("runs", "checkpoints", "children", "engine"),
    ("drift", "recipes", "data"),
    ("patching",),
    ("trainer", "engine/pytorch"),  # which run in the training interpreter
    (),  # modules at the top of the package
)
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to; empty for the top."""
    names = module.split(".")
    if names[1:3] == ["engine", "pytorch"]:
        return "engine/pytorch"
    return names[1] if len(names) > 1 and (PACKAGE / names[1]).is_dir() else ""


def imports() -> Iterator[tuple[Path, str, str]]:
    """Yield each import of a part of the package by another: file, importing and imported part."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "__main__.py":  # is the command line
            continue
        module = ".".join(("mfn_patcher", *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            for target in targets:
                if target.startswith("mfn_patcher.") and part_of(module) != part_of(target):
                    yield path, part_of(module), part_of(target)


def level(part: str) -> int:
    return LEVEL.get(part, len(LEVELS) - 1)


def test_every_part_has_a_level() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert parts == set(LEVEL) - {"engine/pytorch"}


def test_imports_point_downward() -> None:
    upward = {
        f"{path.relative_to(PACKAGE)} imports {target}"
        for path, source, target in imports()
        if level(target) < level(source)
    }
    assert not upward


def test_what_runs_in_the_training_interpreter_imports_nothing_of_the_tool() -> None:
    inside = ("trainer", "engine/pytorch")
    found = [str(path) for path, source, _ in imports() if source in inside]
    assert not found


def test_no_two_parts_import_each_other() -> None:
    pairs = {(source, target) for _, source, target in imports()}
    assert not {pair for pair in pairs if pair[::-1] in pairs}
