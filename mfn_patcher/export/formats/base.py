"""What all formats of an export have in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.remedies import install

if TYPE_CHECKING:
    from mfn_patcher.children.exported import Network
    from mfn_patcher.export.reference import Reference

EMBEDDING = "fc1"
"""Name of the embedding in the networks of the training script."""


class PackageMissingError(MfnPatchError):
    """A package that writes a format, or runs it, is missing."""


@dataclass(frozen=True)
class Limits:
    """How close the embeddings of an export must be to the engine's.

    Attributes:
        cosine: smallest allowed cosine of an embedding and the engine's.
        difference: largest allowed difference of a component; None for any. Where the engine's
            largest component is above 1, it is relative to that: float32 has seven digits.
    """

    cosine: float
    difference: float | None


SINGLE = Limits(cosine=0.999999, difference=1e-5)
HALF = Limits(cosine=0.9999, difference=None)


@dataclass(frozen=True)
class Conversion:
    """What a conversion has changed in the network.

    Attributes:
        folded: number of batch norms folded into the layer before.
        flushed: number of subnormal weights set to zero.
        unflushed: path of the same network with its subnormal weights; None if it has none.
    """

    folded: int = 0
    flushed: int = 0
    unflushed: Path | None = None


class Format(ABC):
    """A file format in which networks are exported.

    Attributes:
        name: the value of ``--format``.
        summary: what it is for, in a few words.
        limits: how close its results must be in single precision.
        half_limits: how close they must be in half precision; None if it has none.
        batched: whether a network takes several images at once.
        computes_half: whether a file in half precision also computes in it, rather than only
            storing weights.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    limits: ClassVar[Limits] = SINGLE
    half_limits: ClassVar[Limits | None] = HALF
    batched: ClassVar[bool] = True
    computes_half: ClassVar[bool] = False

    @abstractmethod
    def files(self, stem: str, number: int, *, half: bool) -> tuple[str, ...]:
        """Return the names of the files of a model, the one that names the model first.

        Args:
            stem: name of the checkpoints, without number and suffix.
            number: number of the checkpoint.
            half: whether it is in half precision.
        """

    @abstractmethod
    def check_installed(self) -> None:
        """Check, before any work, that everything needed to write and run the format is installed.

        Raises:
            PackageMissingError: A package is missing.
        """

    @abstractmethod
    def convert(self, source: Reference, files: tuple[Path, ...], *, half: bool) -> Conversion:
        """Write a network.

        Args:
            source: the network of the checkpoint.
            files: paths of the files to write, named as `files` does.
            half: whether to write it in half precision.

        Raises:
            UnsupportedError: The format has no such network.
            PackageMissingError: A package is missing.
        """

    @abstractmethod
    def open(self, files: tuple[Path, ...], source: Reference) -> Network:
        """Load the files written, to compare the network with the source.

        Raises:
            ModelFileError: They cannot be run.
        """


class RunnableFormat(Format):
    """A format with a runtime of its own, which runs a model without the engine.

    Attributes:
        suffix: suffix of the file that names a model.
        others: suffixes of its other files.
        extra: extra of this package that installs the runtime.
    """

    suffix: ClassVar[str]
    others: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str]

    def files(self, stem: str, number: int, *, half: bool) -> tuple[str, ...]:
        """Return the names of the files of a model, the one that names the model first."""
        name = f"{stem}-{number:04d}{'-fp16' if half else ''}"
        return tuple(name + suffix for suffix in (self.suffix, *self.others))

    @abstractmethod
    def load(self, path: Path, threads: int | None = None) -> Network:
        """Load a model. This also runs in the training interpreter.

        Args:
            path: path of the file that names the model.
            threads: number of threads to compute with; None leaves it to the runtime.

        Raises:
            ImportError: The runtime is missing.
            ModelFileError: The file holds no such network.
        """

    def open(self, files: tuple[Path, ...], source: Reference) -> Network:
        """Load the files written, to compare the network with the source."""
        return self.load(files[0], threads=1)


def require(package: str, extra: str) -> None:
    """Check that a package can be imported.

    Args:
        package: its name.
        extra: extra of this package that installs it.

    Raises:
        PackageMissingError: It cannot be imported.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise PackageMissingError(
            f"cannot import {package}: {error}", remedy=f"Install it with `{install(extra)}`."
        ) from error
