"""Digests of the symbols that the script builds; a program for the src folder of a workspace.

    python symbols.py [--dump] < COMMANDS.json

Reads a JSON list of the script's arguments, each a string such as "--network y1 --loss-type 4".
Prints a JSON list: for each of them the SHA-256 of the text of tojson() and the number of nodes, or
the error that building it raises. With --dump there is the text itself too, which is for looking at
and not for keeping. It runs on whichever package is called mxnet.
"""

import contextlib
import hashlib
import json
import sys

sys.path.insert(0, ".")
given, sys.argv = sys.argv, ["train_softmax.py"]
import train_softmax

EMBEDDING, CLASSES, SHAPE = "128", 20, (3, 112, 112)


def build(command):
    """Return the symbol that the script trains with the given arguments."""
    sys.argv = ["train_softmax.py", "--emb-size", EMBEDDING, *command.split()]
    arguments = train_softmax.parse_args()
    arguments.image_channel, arguments.image_h, arguments.image_w = SHAPE
    arguments.num_classes, arguments.num_layers = CLASSES, int(arguments.network[1:])
    with train_softmax.mx.name.NameManager():
        return train_softmax.get_symbol(arguments, None, None)[0]


def describe(command, dump):
    """Return the digest of a symbol, or why there is none."""
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
