"""PReLU as one operator, where the patched networks compose it of several."""

import json

# relu(data) + minimum(data, 0) * slopes, as the stack `gradients` writes it: an operator, the
# attributes that matter, and its inputs.
_COMPOSED = (
    "elemwise_add",
    {},
    ("Activation", {"act_type": "relu"}, "data"),
    ("broadcast_mul", {}, ("_minimum_scalar", {"scalar": "0"}, "data"), ("Reshape", {}, "gamma")),
)


def with_prelu(symbol):
    """Return a symbol with each PReLU as the one operator LeakyReLU, as upstream writes it.

    A symbol of upstream's own networks, as older checkpoints have it, stays what it is.
    """
    import mxnet as mx

    return mx.sym.load_json(fold(symbol.tojson()))


def fold(text):
    """Return the text of a symbol so changed; nodes that nothing reads any more are still there."""
    graph = json.loads(text)
    for index, node in enumerate(graph["nodes"]):
        found = {}
        if _matches(graph["nodes"], [index, 0, 0], _COMPOSED, found):
            inputs = [found["data"], found["gamma"]]
            node.update(op="LeakyReLU", attrs={"act_type": "prelu"}, inputs=inputs)
    return json.dumps(graph)


def _matches(nodes, entry, pattern, found):
    """Say whether a node's output is computed as `pattern` says; put what it names into `found`."""
    if isinstance(pattern, str):
        return found.setdefault(pattern, entry) == entry
    operator, attributes, *inputs = pattern
    node = nodes[entry[0]]
    return (
        node["op"] == operator
        and attributes.items() <= node.get("attrs", {}).items()
        and len(node["inputs"]) == len(inputs)
        and all(_matches(nodes, *pair, found) for pair in zip(node["inputs"], inputs))
    )
