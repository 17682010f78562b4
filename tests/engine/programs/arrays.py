"""What the script does with arrays outside of symbols; runs on whichever package is called mxnet.

Prints a JSON object with the type, shape and numbers of each case's result, and what `main` adds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

nd = mx.nd
RAMP = np.arange(12, dtype="f4").reshape(3, 4) / 2


def ramp() -> Any:
    """Return a new array."""
    return nd.array(RAMP)


def written() -> Any:
    """Return an array after writes through its views."""
    x = nd.zeros((4, 3, 2))
    x[1][:] = 7.0
    x[2:4] = nd.ones((2, 3, 2)) * 2
    x[0:1, 1:3, :] = 127.5
    x[3][0][:] = np.array([5.0, 6.0])
    return x


def changed() -> list[Any]:
    """Return a copy of an array, and the array after changes in place."""
    x = ramp()
    before, shared = x.copy(), x
    x -= 1
    x *= 2.0
    x /= 4
    x += ramp()
    return [before, shared]


def copied() -> list[Any]:
    """Return the target of copyto, and whether as_in_context returns the same object."""
    target = nd.empty((3, 4))
    ramp().copyto(target)
    same = target.as_in_context(mx.cpu())
    return [target, np.array(same is target)]


def shared_memory() -> list[Any]:
    """Return an array over memory of NumPy, and whether it holds and releases that memory."""
    memory = np.ones((2, 2), dtype="f4")
    free = sys.getrefcount(memory)
    array = nd.from_numpy(memory, zero_copy=True)
    held = sys.getrefcount(memory) > free
    numbers = array.asnumpy()
    del array
    nd.waitall()
    return [
        numbers,
        *map(np.array, (held, sys.getrefcount(memory) == free)),
    ]


CASES: dict[str, Callable[[], Any]] = {
    "array of a list": lambda: nd.array([[1, 2], [3, 4]]),
    "array of double precision": lambda: nd.array(RAMP.astype("f8")),
    "array of whole numbers": lambda: nd.array(np.arange(3)),
    "array of a dtype": lambda: nd.array([1.5, -2.5, 300.0], dtype="int32"),
    "zeros": lambda: nd.zeros((2, 3)),
    "ones": lambda: nd.ones((2,)),
    "ones of an int": lambda: nd.ones(3),
    "zeros_like": lambda: nd.zeros_like(ramp()),
    "ones_like": lambda: nd.ones_like(ramp()),
    "slice_axis": lambda: nd.slice_axis(ramp(), axis=0, begin=1, end=3),
    "slice_axis of columns": lambda: nd.slice_axis(ramp(), axis=1, begin=0, end=2),
    "argmax": lambda: nd.argmax(nd.array([[1, 3, 3], [5, 2, 1], [0, 0, 1]]), axis=1),
    "pick": lambda: nd.pick(ramp(), nd.array([0, 3, 9]), axis=1),
    "pick of negative ones": lambda: nd.pick(ramp(), nd.array([-1, 1.9, 2]), axis=1),
    "flip": lambda: nd.flip(ramp(), axis=1),
    "transpose": lambda: nd.transpose(nd.array(np.arange(24).reshape(2, 3, 4)), axes=(2, 0, 1)),
    "reshape": lambda: ramp().reshape(-1),
    "reshape to two": lambda: ramp().reshape((2, -1)),
    "astype": lambda: ramp().astype("int32").astype("float32"),
    "index": lambda: ramp()[1],
    "part": lambda: ramp()[1:],
    "first": lambda: ramp()[:1],
    "written": written,
    "changed": changed,
    "copied": copied,
    "shared_memory": shared_memory,
    "arithmetic": lambda: (ramp() * 2 - 1) / 4 + ramp() * ramp(),
}


def tell(value: Any) -> list[Any]:
    """Return a result in a form that JSON has."""
    if isinstance(value, list):
        return [tell(each) for each in value]
    numbers = value if isinstance(value, np.ndarray) else value.asnumpy()
    return [str(np.dtype(value.dtype)), list(value.shape), numbers.astype("f8").ravel().tolist()]


def main() -> None:
    """Print all results."""
    answers: dict[str, Any] = {name: tell(case()) for name, case in CASES.items()}
    x = ramp()
    x.wait_to_read()
    nd.waitall()
    answers["properties"] = {
        "size": x.size,
        "ndim": x.ndim,
        "shape": x.shape,
        "itemsize": x.dtype().itemsize,
        "context": str(x.context),
        "a copy": not np.shares_memory(x.asnumpy(), x.asnumpy()),
    }
    description = mx.io.DataDesc("data", (2, 3))
    answers["descriptions"] = {
        "DataDesc": [description.name, list(description.shape), tuple(description)[1]],
        "Xavier": mx.init.Xavier(rnd_type="uniform", factor_type="in", magnitude=2).dumps(),
        "gaussian": mx.init.Xavier(rnd_type="gaussian", factor_type="out", magnitude=2).dumps(),
        "version": mx.__version__,
    }
    sys.stdout.write("\n" + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
