"""How far the arrays of two files are apart: a program for any folder.

    python difference.py A B [PREFIX]

Prints the largest absolute difference of arrays with the same name, of those whose names begin
with PREFIX; names and shapes must be the same.
"""

import sys

import mxnet as mx
import numpy as np

a, b = (mx.nd.load(path) for path in sys.argv[1:3])
prefix = sys.argv[3] if len(sys.argv) > 3 else ""
a, b = ({k: v.asnumpy() for k, v in c.items() if k.startswith(prefix)} for c in (a, b))
assert a
assert list(a) == list(b)
assert all(a[name].shape == b[name].shape for name in a)
print(max(float(np.abs(a[name] - b[name]).max()) for name in a))
