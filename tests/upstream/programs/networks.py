"""The symbol of every network that the script offers, as digests; a program for the src folder.

    python networks.py NETWORK...

Prints JSON: for each network the number of its arguments, and the SHA-256 of the names, shapes
and multipliers of all arguments and auxiliary states. It runs under Python 2 as well, which is
where the figures it is compared with come from.
"""

import hashlib
import json
import sys

sys.path.insert(0, ".")
networks, sys.argv = sys.argv[1:], ["train_softmax.py"]
import train_softmax


def describe(network):  # type: (str) -> dict[str, object]  # as Python 2 has it
    """Return the number of arguments of a network, and the digest of all that it holds."""
    sys.argv = ["train_softmax.py", "--network", network, "--emb-size", "128"]
    sys.argv += ["--loss-type", "4", "--wd", "0.00004", "--fc7-wd-mult", "10"]
    arguments = train_softmax.parse_args()
    arguments.image_channel, arguments.image_h, arguments.image_w = 3, 112, 112
    arguments.num_classes, arguments.num_layers = 20, int(network[1:])
    symbol, _, _ = train_softmax.get_symbol(arguments, None, None)
    data = {"data": (2, 3, 112, 112)}
    if network[0] == "s":
        train_softmax.spherenet.init_weights(symbol, data, arguments.num_layers)
    shapes, _, auxiliary = symbol.infer_shape(softmax_label=(2,), **data)
    attributes = symbol.attr_dict()
    multipliers = {
        name: {
            key: float(value) for key, value in attributes.get(name, {}).items() if "mult" in key
        }
        for name in symbol.list_arguments()
    }
    everything = [
        list(zip(symbol.list_arguments(), shapes)),
        list(zip(symbol.list_auxiliary_states(), auxiliary)),
        multipliers,
    ]
    text = json.dumps(everything, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"arguments": len(symbol.list_arguments()), "sha256": digest}


sys.stdout.write("\n" + json.dumps({network: describe(network) for network in networks}) + "\n")
