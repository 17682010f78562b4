"""Imports point downward only, as docs/how-it-works.md says, and files stay short."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import mfn_patcher

ROOT = Path(mfn_patcher.__file__).parent
LAYERS = (
    {"cli"},
    {"doctor", "cluster"},
    {"training", "evaluation", "export"},
    {"runs", "checkpoints", "children", "engine"},
    {"recipes", "data"},
    {"drift"},
    {"patching"},
    # Packages that other interpreters import; they know nothing of the tool.
    {"engine.pytorch", "trainer"},
    # Single modules, which all rooms may import.
    {""},
)
LONGEST = 400  # lines, as CONTRIBUTING.md says
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def room_of(module: str) -> str:
    """Return the room of a module by its full name; empty for modules that are in none."""
    parts = module.split(".")[1:]
    for length in (2, 1):
        if (room := ".".join(parts[:length])) in LEVELS:
            return room
    return ""


def imported(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports from this package, relative imports apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def imports() -> tuple[tuple[str, str, str], ...]:
    """Return the room of each file, the room that it imports, and the import in words."""
    return tuple(_imports())


def _imports() -> Iterator[tuple[str, str, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if module == "mfn_patcher.__main__":
            continue
        for name in imported(path):
            if name.startswith("mfn_patcher."):
                yield room_of(module), room_of(name), f"{module} imports {name}"


def test_every_package_has_a_layer() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} <= set(LEVELS)


def test_imports_point_downward() -> None:
    upward = [text for room, other, text in imports() if LEVELS[other] < LEVELS[room]]
    assert upward == []


def test_rooms_of_a_layer_do_not_import_each_other() -> None:
    pairs = {(room, other): text for room, other, text in imports() if room != other}
    mutual = [text for (room, other), text in pairs.items() if (other, room) in pairs]
    assert mutual == []


def test_packages_of_other_interpreters_import_nothing_of_the_tool() -> None:
    alone = {"engine.pytorch", "trainer"}
    assert [text for room, other, text in imports() if room in alone and room != other] == []


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in ROOT.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}
