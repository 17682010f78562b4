"""Which checkpoints to evaluate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.files import absolute

_ONE = re.compile(r"(?P<prefix>.+)(,(?P<epoch>\d+)|-(?P<file>\d{4,})\.params)", re.DOTALL)
_FORM = "MODELS/model-y1-arcface,80 is MODELS/model-y1-arcface-0080.params."
_EXPORTED = (".onnx", ".param")


class ModelError(MfnPatchError):
    """There are no such checkpoints."""


@dataclass(frozen=True)
class Model:
    """Checkpoints of one prefix, or one exported network.

    Attributes:
        prefix: Of their files; absolute. The file itself of an exported network.
        checkpoints: Files by number, in order; at least one. An exported network is number 0.
        exported: Whether it is one.
    """

    prefix: Path
    checkpoints: Mapping[int, Path]
    exported: bool = False

    def label(self, number: int) -> str:
        """Return what a checkpoint is called."""
        return "exported" if self.exported else f"checkpoint {number}"

    @property
    def symbol(self) -> Path:
        """The file of the network."""
        return checkpoints.symbol_path(self.prefix)


def find(text: str, here: Path, workspace: Path) -> Model:
    """Return the checkpoints that the user names.

    Args:
        text: ``PREFIX,EPOCH`` or the path of a ``.params`` file for one checkpoint; ``PREFIX``
            for all; or the path of an ``.onnx`` or ``.param`` file from an export.
        here: What a relative path is relative to.
        workspace: Looked into for a hint, if they are not there.

    Raises:
        ModelError: There are none, or the network's file is missing.
    """
    if text.endswith(_EXPORTED):
        path = Path(absolute(Path(text), here))
        if not path.is_file():
            raise ModelError(f"there is no file {path}", remedy="`mfn-patch export` makes one.")
        return Model(path, {0: path}, exported=True)
    one = _ONE.fullmatch(text)
    stem = one["prefix"] if one else text
    place = Path(absolute(Path(stem), here))
    prefix = place.parent.resolve() / place.name
    found = checkpoints.find(prefix)
    if not found:
        raise ModelError(
            f"there is no checkpoint of {prefix}",
            remedy=_elsewhere(prefix, workspace / stem) or f"It is named as PREFIX,EPOCH: {_FORM}",
        )
    if one:
        number = int(one["epoch"] or one["file"])
        if number not in found:
            raise ModelError(
                f"there is no checkpoint {number} of {prefix}", remedy=f"There is {_list(found)}."
            )
        found = {number: found[number]}
    model = Model(prefix, found)
    if not model.symbol.is_file():
        raise ModelError(
            f"{model.symbol} is missing, which describes the network of all checkpoints beside it",
            remedy="Copy it there; the script saves it with each checkpoint.",
        )
    return model


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
        return f"There is no folder {folder}."
    saved = (re.fullmatch(r"(.+)-\d{4,}\.params", path.name) for path in folder.iterdir())
    others = sorted({str(folder / match[1]) for match in saved if match})
    return f"There are some of {', '.join(others)}." if others else ""
