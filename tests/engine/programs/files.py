"""Arrays in MXNet's format, written and read; runs on whichever package is called mxnet.

Prints a JSON object with the bytes of each file in hexadecimal digits, and the result of reading
each.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

# Complete files in formats of MXNet before 1.0.
HEADER = struct.pack("<QQQ", 0x112, 0, 1)
DATA = struct.pack("<iii2f", 1, 0, 0, 1.5, -2.0)
NAME = struct.pack("<QQ", 1, 1) + b"x"
OLD = {
    "version 1": HEADER + struct.pack("<IIq", 0xF993FAC8, 1, 2) + DATA + NAME,
    "version 0": HEADER + struct.pack("<II", 1, 2) + DATA + NAME,
}


def arrays() -> dict[str, Any]:
    """Return the arrays to save, by the name of the case."""
    ramp = np.arange(6).reshape(2, 3)
    kinds = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
    made = {
        kind: {"x": mx.nd.array(ramp % 2 if kind == "bool" else ramp, dtype=kind)} for kind in kinds
    }
    number = mx.nd.array([0.5, -0.0, 1e-45, 3.4e38, np.inf], dtype="float32")
    return {
        **made,
        "dict": {
            "arg:b_weight": number,
            "aux:a": mx.nd.zeros((1, 2, 1)),
            "arg:ü_重み": mx.nd.ones((2,)),
        },
        "empty dict": {},
        "empty name": {"": number},
        "no rows": {"x": mx.nd.array(np.zeros((0, 3)))},
        "list": [number, mx.nd.ones((1, 1))],
        "view": {
            "part": mx.nd.array(ramp)[1:2],
            "turned": mx.nd.transpose(mx.nd.array(ramp), axes=(1, 0)),
        },
    }


def read(path: Path) -> Any:
    """Return the arrays in a file in a form that JSON has, or the name of the error."""
    try:
        loaded = mx.nd.load(str(path))
    except mx.MXNetError:
        return "MXNetError"
    items = loaded.items() if isinstance(loaded, dict) else enumerate(loaded)
    return [type(loaded).__name__] + [
        [key, list(array.shape), np.dtype(array.dtype).name, array.asnumpy().tobytes().hex()]
        for key, array in items
    ]


def main() -> None:
    """Write and read all files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        written, found = {}, {}
        for name, saved in arrays().items():
            mx.nd.save(str(path), saved)
            written[name] = path.read_bytes()
            found[name] = read(path)
        whole = written["dict"]
        others = {
            **OLD,
            "nothing": b"",
            "no arrays at all": b"text",
            "another magic number": b"\x13" + whole[1:],
            "of the future": whole[:24] + struct.pack("<I", 0xF993FAFF) + whole[28:],
            **{f"torn at {size}": whole[:size] for size in range(4, len(whole), 17)},
            "torn at the last byte": whole[:-1],
        }
        for name, content in others.items():
            path.write_bytes(content)
            found[name] = read(path)
        path.unlink()
        found["missing"] = read(path)
    sys.stdout.write(
        "\n"
        + json.dumps(
            {
                "written": {name: content.hex() for name, content in written.items()},
                "read": found,
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
