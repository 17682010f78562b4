"""Digests of the symbols that the script builds; runs in the src folder of a workspace.

    python symbols.py [--dump] < COMMANDS.json

Reads a JSON list of the script's arguments, each a string such as "--network y1 --loss-type 4".
Prints a JSON list with the SHA-256 of the text of tojson() and the number of nodes for each of
them, or the error of building it. With --dump it also prints the text itself, to look at it. It
runs on whichever package is called mxnet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from typing import Any

sys.path.insert(0, ".")
given, sys.argv = sys.argv, ["train_softmax.py"]
import train_softmax

EMBEDDING, CLASSES, SHAPE = "128", 20, (3, 112, 112)


def build(command: str) -> Any:
    """Return the symbol that the script trains with the given arguments."""
    sys.argv = ["train_softmax.py", "--emb-size", EMBEDDING, *command.split()]
    arguments = train_softmax.parse_args()
    arguments.image_channel, arguments.image_h, arguments.image_w = SHAPE
    arguments.num_classes, arguments.num_layers = CLASSES, int(arguments.network[1:])
    with train_softmax.mx.name.NameManager():
        return train_softmax.get_symbol(arguments, None, None)[0]


def describe(command: str, dump: bool) -> dict[str, Any]:
    """Return the digest of a symbol, or the error of building it."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            text = build(command).tojson()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    described = {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "nodes": len(json.loads(text)["nodes"]),
    }
    return {**described, "text": text} if dump else described


if __name__ == "__main__":
    described = [describe(command, "--dump" in given) for command in json.load(sys.stdin)]
    sys.stdout.write("\n" + json.dumps(described) + "\n")
