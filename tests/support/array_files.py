"""Files of arrays as the script saves them, compared without a process that imports MXNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mfn_patcher.engine.pytorch.mxnet import files


def difference(a: Path, b: Path, prefix: str = "", without: str | None = None) -> float:
    """Return the largest absolute difference of arrays with the same name in two files.

    Args:
        a: a file.
        b: another, with arrays of the same names and shapes.
        prefix: how the names begin of the arrays that are compared.
        without: how the names end of those that are not.
    """
    found = []
    for path in (a, b):
        with path.open("rb") as file:
            arrays, names = files.read(file)
        found.append(
            {
                name: array
                for name, array in zip(names, arrays)
                if name.startswith(prefix) and not (without and name.endswith(without))
            }
        )
    first, second = found
    assert first
    assert list(first) == list(second)
    assert all(first[name].shape == second[name].shape for name in first)
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)
