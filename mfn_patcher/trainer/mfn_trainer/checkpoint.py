"""Checkpoints that are complete or not there at all, and resuming from one."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import mxnet as mx
import numpy as np

from . import pretrained
from .arguments import LOCAL_STORE, MAY_CHANGE_ON_RESUME, option_of
from .layout import (
    MANIFEST,
    MOMENTUM,
    PARAMETERS,
    checkpoint_file,
    digest,
    partial_file,
    read_manifest,
    symbol_file,
)

_log = logging.getLogger()  # MXNet logs the same line to the root logger

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """The position in training; kept in the manifest.

    Attributes:
        step: number of steps done.
        lr: learning rate.
        highest: highest accuracies so far, as the script keeps them.
        verification: accuracy on each verification set at this step, by name.
        images: number of images in the data set.
        arguments: all arguments of the script, and what it derives from them.
    """

    step: int
    lr: float
    highest: list[float]
    verification: dict[str, float]
    images: int
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Content:
    """The arrays of a checkpoint.

    Attributes:
        arguments: parameters by name.
        auxiliary: moving averages by name.
        momenta: momentum by name of the parameter; None if the run has no seed.
    """

    arguments: Arrays
    auxiliary: Arrays
    momenta: Arrays | None


def save(prefix: str, number: int, symbol: Any, content: Content, state: State) -> None:
    """Save a checkpoint.

    If that fails, the script ends with a message and earlier checkpoints are as they were.
    """
    cpu = mx.cpu()
    parameters = {"arg:" + name: array for name, array in content.arguments.items()}
    parameters.update(("aux:" + name, array) for name, array in content.auxiliary.items())
    parts: dict[str, dict[str, Any]] = {PARAMETERS: parameters}
    if content.momenta is not None:
        parts[MOMENTUM] = dict(sorted(content.momenta.items()))
    files = {kind: checkpoint_file(prefix, number, kind) for kind in parts}
    network, manifest = symbol_file(prefix), checkpoint_file(prefix, number, MANIFEST)
    written = [network, *files.values(), manifest]
    folder = manifest.parent
    # Everything is written next to its final place and synced before being moved, the manifest
    # last.
    try:
        partial_file(network).write_text(symbol.tojson(), encoding="utf-8")
        digests = {}
        for kind, path in files.items():
            partial = partial_file(path)
            arrays = {name: array.as_in_context(cpu) for name, array in parts[kind].items()}
            mx.nd.save(str(partial), arrays)
            # MXNet does not notice when only the last bytes do not fit on the disk.
            mx.nd.load(str(partial))
            digests[kind] = digest(partial)
        held = {
            **asdict(state),
            "files": digests,
            "finite": all(np.isfinite(array.asnumpy()).all() for array in parameters.values()),
            "saved": time.time(),
            # Our engine has a module of that name, MXNet has a function.
            "engine": "torch" if mx.engine == "torch" else "mxnet",
        }
        partial_file(manifest).write_text(json.dumps(held, indent=2, sort_keys=True), "utf-8")
        for path in written:
            _sync(partial_file(path))
        for path in written[:-1]:
            partial_file(path).replace(path)
        _sync(folder)
        partial_file(manifest).replace(manifest)
        _sync(folder)
    except (OSError, mx.MXNetError) as error:
        for path in written:
            partial_file(path).unlink(missing_ok=True)
        disk = os.statvfs(folder)
        # MXNet's text has lines of C++ before the actual message.
        reason = str(error).strip().splitlines()[-1]
        raise SystemExit(
            f"checkpoint {number} of {prefix} cannot be saved, earlier ones are as they were; "
            f"the disk has {disk.f_bavail * disk.f_frsize} bytes left: {reason}"
        ) from None
    _log.info('Saved checkpoint to "%s"', files[PARAMETERS])  # as MXNet itself says it


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(
    prefix: str, number: int, images: int, arguments: Mapping[str, Any]
) -> tuple[State, Content]:
    """Load a checkpoint to resume from.

    Ends the script with a message if it is not complete, or was saved with other images or other
    arguments.

    Args:
        prefix: path prefix of the checkpoint files.
        number: number of the checkpoint.
        images: number of images in the data set.
        arguments: all arguments of the script, and what it derives from them.
    """

    def refuse(reason: str) -> NoReturn:
        raise SystemExit(f"cannot resume from checkpoint {number} of {prefix}: {reason}")

    files = {kind: checkpoint_file(prefix, number, kind) for kind in (PARAMETERS, MOMENTUM)}
    try:
        held = read_manifest(checkpoint_file(prefix, number, MANIFEST))
        if MOMENTUM not in held["files"]:
            refuse("it was saved without --seed")
        for kind, path in files.items():
            if held["files"][kind] != digest(path):
                refuse(f"{path} is not the file that was saved")
        state = State(**{name: held[name] for name in State.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse(f"it is not complete: {type(error).__name__}: {error}")
    if state.images != images:
        refuse(f"the data set had {state.images} images and now has {images}")
    # Earlier manifests lack these two.
    former = {"kvstore": LOCAL_STORE, "workers": 1, **state.arguments}
    changed = [
        f"{name} was {value} and is now {arguments.get(name)}"
        for name, value in sorted(former.items())
        if option_of(name) not in MAY_CHANGE_ON_RESUME and arguments.get(name) != value
    ]
    if changed:
        refuse("; ".join(changed))
    parameters, auxiliary = pretrained.split(mx.nd.load(str(files[PARAMETERS])))
    # MXNet loads a file without arrays as an empty list.
    momenta = mx.nd.load(str(files[MOMENTUM])) or {}
    return state, Content(parameters, auxiliary, momenta)
