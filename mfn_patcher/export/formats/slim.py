"""MXNet's own pair of files, up to the embedding."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.export.formats.base import Conversion, Format

if TYPE_CHECKING:
    from mfn_patcher.children.exported import Network
    from mfn_patcher.export.reference import Reference


class Slim(Format):
    """MXNet's own files, without what only training needs."""

    name = "slim"
    summary = "MXNet, without the training code"
    half_limits = None

    def files(self, stem: str, number: int, *, half: bool) -> tuple[str, ...]:
        """Return the names of parameters and symbol, which MXNet's load_checkpoint() expects."""
        return f"{stem}-slim-{number:04d}.params", f"{stem}-slim-symbol.json"

    def check_installed(self) -> None:
        """Nothing to check: only the engine is needed."""

    def convert(self, source: Reference, files: tuple[Path, ...], *, half: bool) -> Conversion:
        """Copy the network, which the engine has saved."""
        shutil.copyfile(source.params, files[0])
        shutil.copyfile(source.symbol, files[1])
        return Conversion()

    def open(self, files: tuple[Path, ...], source: Reference) -> Network:
        """Return the network as the engine computes it."""
        params, symbol = files
        return dataclasses.replace(source.network, symbol=symbol, params=params)
