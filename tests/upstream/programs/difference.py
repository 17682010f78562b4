"""How far the arrays of two files are apart: a program for any folder.

    python difference.py A B [PREFIX [WITHOUT...]]

Prints the largest absolute difference of arrays with the same name, of those whose names begin
with PREFIX and do not end with WITHOUT; names and shapes must be the same.
"""

import sys

import mxnet as mx
import numpy as np

a, b = (mx.nd.load(path) for path in sys.argv[1:3])
prefix, *without = sys.argv[3:] or [""]
a, b = (
    {
        name: array.asnumpy()
        for name, array in arrays.items()
        if name.startswith(prefix) and not name.endswith(tuple(without))
    }
    for arrays in (a, b)
)
assert a
assert list(a) == list(b)
assert all(a[name].shape == b[name].shape for name in a)
print(max(float(np.abs(a[name] - b[name]).max()) for name in a))
