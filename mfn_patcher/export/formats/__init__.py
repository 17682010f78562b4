"""The formats of an export, one module each.

To add a format:

1. Write a module here with a class that derives from `base.RunnableFormat`, or from `base.Format`
   if nothing but the engine runs it. Import packages inside functions: they may be missing, and
   every ``--help`` reads this table. `load` also runs in the training interpreter, for ``eval``, so
   it must need nothing but NumPy and the format's runtime.
2. Add an instance of it to `FORMATS`.

Then ``--help``, messages, ``export``, ``embed``, ``compare``, ``bench model`` and ``eval`` know it.
``tests/export/test_formats.py`` fails until ``docs/export.md`` has its rows and
``docs/schema/export.json`` its name. The tests in ``tests/upstream`` export a trained checkpoint in
every format with a runtime and compare the results; one that only the engine runs needs a test of
its own there, as slim has.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.export.formats.base import Format, RunnableFormat
from mfn_patcher.export.formats.ncnn import Ncnn
from mfn_patcher.export.formats.onnx import Onnx
from mfn_patcher.export.formats.slim import Slim

if TYPE_CHECKING:
    from mfn_patcher.checkpoints.selection import Runtime
    from mfn_patcher.children.exported import Network

FORMATS: tuple[Format, ...] = (Slim(), Onnx(), Ncnn())


def by_name(name: str) -> Format:
    """Return the format with a name."""
    return next(form for form in FORMATS if form.name == name)


def runnable() -> tuple[RunnableFormat, ...]:
    """Return the formats that have a runtime of their own."""
    return tuple(form for form in FORMATS if isinstance(form, RunnableFormat))


def suffixes() -> str:
    """Return the suffixes of model files, as a sentence lists them: ``.a, .b or .c``."""
    *others, last = (form.suffix for form in runnable())
    return f"{', '.join(others)} or {last}" if others else last


def runtimes() -> dict[str, Runtime]:
    """Return what runs model files, by their suffix."""
    from mfn_patcher.checkpoints.selection import Runtime

    return {form.suffix: Runtime(__name__, form.extra) for form in runnable()}


def of_file(path: Path) -> RunnableFormat:
    """Return the format of a model file, by its suffix.

    Raises:
        ModelFileError: It is of none.
    """
    from mfn_patcher.children.exported import ModelFileError

    for form in runnable():
        if path.suffix == form.suffix:
            return form
    from mfn_patcher.checkpoints.selection import checkpoint_name
    from mfn_patcher.data.making.photo import SUFFIXES

    if checkpoint := checkpoint_name(str(path)):
        command = f"mfn-patch export {shlex.quote(checkpoint)} --format onnx"
        raise ModelFileError(path, "it is a checkpoint", remedy=f"Export it first: `{command}`.")
    if path.suffix.lower() in SUFFIXES:
        remedy = "Name the exported model first, then the images."
        raise ModelFileError(path, "it is an image", remedy=remedy)
    raise ModelFileError(path, f"its name does not end in {suffixes()}")


def load(path: Path, threads: int | None = None) -> Network:
    """Load a model file with the runtime of its format.

    Args:
        path: path of the file.
        threads: number of threads to compute with; None leaves it to the runtime.

    Raises:
        ImportError: The runtime is missing.
        ModelFileError: The file holds no network that can be run.
    """
    from mfn_patcher.children.exported import ModelFileError

    form = of_file(path)
    if not path.is_file():
        raise ModelFileError(path, "no such file")
    return form.load(path, threads)
