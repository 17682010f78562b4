"""Writing the files of a data set: all of them appear in the directory, or none does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.files import try_lock

STAGING = ".mfn-patch-unfinished"
"""Name of the temporary directory, which is inside the directory of the data set."""


@contextmanager
def staged(
    directory: Path, names: Sequence[str], error_type: type[MfnPatchError]
) -> Iterator[Path]:
    """Provide a temporary directory; publish its files at the end, or remove it on an error.

    A run that is killed leaves the temporary directory, which the next run removes.

    Args:
        directory: directory of the data set; it may be missing.
        names: names of the files that may be written, in the order of publishing. `property`
            belongs last: without it, a directory is not a data set.
        error_type: type of the errors that are raised.

    Yields:
        The temporary directory.

    Raises:
        MfnPatchError: One of the files exists already, another process is writing to the
            directory, or it cannot be written.
    """
    try:
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(directory, error_type):
                yield from _stage(directory, names, error_type)
        except BaseException:
            if new:
                with suppress(OSError):
                    directory.rmdir()
            raise
    except OSError as error:
        raise error_type(
            f"cannot write a data set to {directory}: {error.strerror}",
            remedy="Give a writable directory with enough free space for the data set.",
        ) from error


def _stage(
    directory: Path, names: Sequence[str], error_type: type[MfnPatchError]
) -> Iterator[Path]:
    staging = directory / STAGING
    _discard(directory, names)
    present = [name for name in names if os.path.lexists(directory / name)]
    if present:
        raise error_type(
            f"{directory} already contains {', '.join(present)}; nothing is overwritten",
            remedy="Give an empty directory or a new one.",
        )
    try:
        staging.mkdir()
        yield staging
        for name in names:
            if (staging / name).exists():
                _publish(staging / name, directory / name)
    except BaseException:
        _discard(directory, names)
        raise
    shutil.rmtree(staging)


@contextmanager
def _locked(directory: Path, error_type: type[MfnPatchError]) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not try_lock(descriptor):
            raise error_type(
                f"another process is writing a data set to {directory}",
                remedy="Wait until it has finished, or give another directory.",
            )
        yield
    finally:
        os.close(descriptor)


def _publish(source: Path, target: Path) -> None:
    try:
        # A link never overwrites, and _discard can recognise the file by it later.
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        source.rename(target)  # the file system has no hard links


def _discard(directory: Path, names: Sequence[str]) -> None:
    """Remove what an unfinished run left, and nothing else."""
    staging = directory / STAGING
    if not staging.is_dir():
        return
    for name in names:
        with suppress(FileNotFoundError):
            if (staging / name).samefile(directory / name):
                (directory / name).unlink()
    shutil.rmtree(staging)
