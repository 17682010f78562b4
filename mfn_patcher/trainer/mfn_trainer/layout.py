"""The files of a checkpoint.

Checkpoint N of a prefix is ``PREFIX-N.params``, the parameters, ``PREFIX-N.states``, their momentum
if the run has a seed, and ``PREFIX-N.json``, its manifest. All checkpoints of a prefix share
``PREFIX-symbol.json``. The manifest is written last and holds size and SHA-256 of the other files
and the state of the run: without it, or with files that it does not describe, a checkpoint is
not complete. While a file is written it has ``.partial`` after its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from .ranking import best_of

PARAMETERS, MOMENTUM, MANIFEST = "params", "states", "json"
KINDS = (PARAMETERS, MOMENTUM, MANIFEST)
"""The files of a checkpoint by their endings, in the order in which they are removed."""
PARTIAL = ".partial"
Prefix = str | os.PathLike[str]

_CHUNK = 1 << 20  # bytes


def checkpoint_file(prefix: Prefix, number: int, kind: str) -> Path:
    """Return the path of a file of a checkpoint, of one of `KINDS`."""
    return Path(f"{os.fspath(prefix)}-{number:04d}.{kind}")


def symbol_file(prefix: Prefix) -> Path:
    """Return the path of the symbol that the checkpoints of a prefix share."""
    return Path(f"{os.fspath(prefix)}-symbol.json")


def partial_file(path: Path) -> Path:
    """Return the path under which a file is written before it is moved to its place."""
    return path.with_name(path.name + PARTIAL)


def find_files(prefix: Prefix, ending: str = "") -> dict[int, dict[str, Path]]:
    """Return the files of each checkpoint of a prefix.

    Args:
        prefix: path prefix of the checkpoint files.
        ending: what follows their names, such as `PARTIAL`.

    Returns:
        Paths by kind, by number, in order of the numbers.
    """
    folder, name = os.path.split(os.fspath(prefix))
    if not Path(folder).is_dir():
        return {}
    kinds = "|".join(KINDS)
    pattern = re.compile(rf"{re.escape(name)}-(\d{{4,}})\.({kinds}){re.escape(ending)}")
    found: dict[int, dict[str, Path]] = {}
    for path in Path(folder).iterdir():
        if match := pattern.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[match[2]] = path
    return dict(sorted(found.items()))


def digest(path: Path) -> dict[str, Any]:
    """Return ``bytes`` and ``sha256`` of a file, as a manifest has them.

    Raises:
        OSError: The file cannot be read.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
    return {"bytes": path.stat().st_size, "sha256": sha256.hexdigest()}


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest; its keys are not checked.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(held, dict):
        raise ValueError("not a JSON object")
    return held


def remove_old(prefix: Prefix, last: int, keep: int, always: set[int]) -> None:
    """Remove old checkpoints of a prefix.

    It keeps the last ones up to number `last`, the best of each verification set, those in
    `always`, those without a readable manifest, and those with a higher number than `last`, which
    belong to another run.

    Args:
        prefix: path prefix of the checkpoint files.
        last: number of the checkpoint that was saved last.
        keep: how many of the last ones to keep.
        always: numbers of checkpoints that are kept in any case.
    """
    found = find_files(prefix)
    numbers = [number for number, files in found.items() if number <= last and MANIFEST in files]
    kept = always | set(numbers[-keep:])
    accuracies: dict[str, dict[int, float]] = {}
    for number in numbers:
        try:
            verification = read_manifest(found[number][MANIFEST])["verification"]
        except (OSError, ValueError, KeyError):
            kept.add(number)
            continue
        for name, accuracy in verification.items():
            accuracies.setdefault(name, {})[number] = accuracy
    kept.update(chosen for each in accuracies.values() if (chosen := best_of(each)) is not None)
    for number in set(numbers) - kept:
        # The manifest goes last: as long as it is there, the next call removes what is left.
        for kind in KINDS:
            checkpoint_file(prefix, number, kind).unlink(missing_ok=True)
