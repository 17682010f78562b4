"""Finding the checkpoints, or the exported network, that the user names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.files import absolute
from mfn_patcher.trainer.mfn_trainer.layout import symbol_file

_ONE = re.compile(r"(?P<prefix>.+)(,(?P<epoch>\d+)|-(?P<file>\d{4,})\.params)", re.DOTALL)
_FORM = "MODELS/model-y1-arcface,80 is MODELS/model-y1-arcface-0080.params."


class SelectionError(MfnPatchError):
    """There are no such checkpoints."""


@dataclass(frozen=True)
class Runtime:
    """What runs exported networks of one format.

    Attributes:
        module: name of a module whose function ``load`` takes the path of a network and returns it,
            in the tool and in the training interpreter.
        extra: extra of this package that installs what the module needs.
    """

    module: str
    extra: str


@dataclass(frozen=True)
class Model:
    """Checkpoints of one prefix, or one exported network.

    Attributes:
        prefix: absolute path prefix of the checkpoint files, or path of the exported network.
        checkpoints: path of each checkpoint by its number, in order; at least one. An exported
            network has number 0.
        runtime: what runs the exported network; None for checkpoints.
    """

    prefix: Path
    checkpoints: Mapping[int, Path]
    runtime: Runtime | None = None

    def label(self, number: int) -> str:
        """Return what messages call a checkpoint."""
        return "exported" if self.runtime else f"checkpoint {number}"

    @property
    def symbol(self) -> Path:
        """Path of the symbol file that the checkpoints share."""
        return symbol_file(self.prefix)


def checkpoint_name(text: str) -> str | None:
    """Return what the user calls one checkpoint as ``PREFIX,EPOCH``; None if it is none."""
    one = _ONE.fullmatch(text)
    return f"{one['prefix']},{int(one['epoch'] or one['file'])}" if one else None


def find(text: str, here: Path, workspace: Path, runtimes: Mapping[str, Runtime]) -> Model:
    """Return the checkpoints that the user names.

    Args:
        text: ``PREFIX,EPOCH`` or the path of a ``.params`` file for one checkpoint; ``PREFIX``
            for all of them; or the path of an exported network.
        here: folder that relative paths start from.
        workspace: path of the workspace, which is searched for a hint if there are none.
        runtimes: runtimes of exported networks by the suffix of their files.

    Raises:
        SelectionError: There are none, or the symbol file is missing.
    """
    runtime = runtimes.get(Path(text).suffix)
    if runtime:
        return _exported(Path(absolute(Path(text), here)), runtime)
    one = _ONE.fullmatch(text)
    stem = one["prefix"] if one else text
    place = Path(absolute(Path(stem), here))
    prefix = place.parent.resolve() / place.name
    found = checkpoints.find(prefix)
    if not found:
        raise SelectionError(
            # Such as one of PyTorch, a .pth file.
            f"{place} is not a checkpoint of MXNet"
            if place.is_file()
            else f"no checkpoints of {prefix}",
            remedy=_elsewhere(prefix, workspace / stem) or f"Name one as PREFIX,EPOCH: {_FORM}",
        )
    if one:
        number = int(one["epoch"] or one["file"])
        if number not in found:
            raise SelectionError(
                f"no checkpoint {number} of {prefix}", remedy=f"Found: {_list(found)}."
            )
        found = {number: found[number]}
    require_symbol(prefix)
    return Model(prefix, found)


def require_symbol(prefix: Path) -> None:
    """Check that the symbol file of a prefix is there.

    Raises:
        SelectionError: It is missing.
    """
    if not symbol_file(prefix).is_file():
        raise SelectionError(
            f"{symbol_file(prefix)}, which describes the network of these checkpoints, is missing",
            remedy="Copy it there; the script saves it with each checkpoint.",
        )


def _exported(path: Path, runtime: Runtime) -> Model:
    if not path.is_file():
        raise SelectionError(f"no such file: {path}", remedy="`mfn-patch export` writes one.")
    return Model(path, {0: path}, runtime)


def _list(numbers: Mapping[int, Path]) -> str:
    first, last = min(numbers), max(numbers)
    if len(numbers) == 1:
        return f"only {first}"
    if len(numbers) == last - first + 1:
        return f"{first} to {last}"
    return ", ".join(map(str, numbers))


def _elsewhere(prefix: Path, in_workspace: Path) -> str:
    if checkpoints.find(in_workspace):
        return f"The workspace has some: {in_workspace}"
    folder = prefix if prefix.is_dir() else prefix.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist."
    saved = (re.fullmatch(r"(.+)-\d{4,}\.params", path.name) for path in folder.iterdir())
    others = sorted({str(folder / match[1]) for match in saved if match})
    return f"There are some of {', '.join(others)}." if others else ""
