"""The checkpoint that training starts from: which parts of it fit the network.

The backbone must fit. What comes after it depends on the embedding size and on the number of
identities, and starts from random values where the checkpoint has a different shape.
"""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from .layout import PARAMETERS, checkpoint_file

HEAD = ("pre_fc1_", "fc1_", "fc7_")
"""Prefixes of the names of embedding and classification parameters, in all networks."""

Parameters = dict[str, Any]


def load(prefix: str, number: int) -> tuple[Parameters, Parameters]:
    """Load the parameters of a checkpoint; ends the script with a message if it is damaged.

    Returns:
        Parameters and moving averages by name.
    """
    path = checkpoint_file(prefix, number, PARAMETERS)
    try:
        saved = mx.nd.load(str(path))
    except (OSError, mx.MXNetError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise _refusal(path, f"it is missing, truncated or not a checkpoint: {reason}") from None
    if not isinstance(saved, dict):
        raise _refusal(path, "it names no parameters")
    return split(saved)


def split(saved: Parameters) -> tuple[Parameters, Parameters]:
    """Return parameters and moving averages by name, of the arrays of a ``.params`` file."""
    arguments = {key[4:]: value for key, value in saved.items() if key.startswith("arg:")}
    auxiliary = {key[4:]: value for key, value in saved.items() if key.startswith("aux:")}
    return arguments, auxiliary


def fit(
    source: str,
    symbol: Any,
    data_shape: tuple[int, int, int],
    loaded: tuple[Parameters, Parameters],
) -> tuple[Parameters, Parameters]:
    """Return those parameters of a checkpoint that fit a network, and print which start at random.

    Ends the script if more than the head does not fit.

    Args:
        source: path of the checkpoint.
        symbol: the network.
        data_shape: channels, height and width of an image.
        loaded: what `load` returns.
    """
    shapes, _, auxiliary = symbol.infer_shape(data=(1, *data_shape), softmax_label=(1,))
    wanted = (
        dict(zip(symbol.list_arguments(), shapes)),
        dict(zip(symbol.list_auxiliary_states(), auxiliary)),
    )
    del wanted[0]["data"], wanted[0]["softmax_label"]
    kept: tuple[Parameters, Parameters] = ({}, {})
    others = {}
    for shapes_of, arrays, fitting in zip(wanted, loaded, kept):
        for name, shape in sorted(shapes_of.items()):
            array = arrays.get(name)
            if array is None or array.shape != shape:
                held = "missing" if array is None else _text(array.shape)
                others[name] = f"{name} ({_text(shape)} here, {held} in the checkpoint)"
            elif not np.isfinite(array.asnumpy()).all():
                raise _refusal(source, f"{name} has values that are NaN or infinite")
            else:
                fitting[name] = array
    backbone = [text for name, text in others.items() if not name.startswith(HEAD)]
    if backbone:
        count = sum(map(len, wanted))
        raise _refusal(
            source,
            f"it belongs to another network: {len(backbone)} of {count} parameters do not fit, the "
            f"first is {backbone[0]}",
        )
    for text in others.values():
        print("starting at random:", text)
    return kept


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _refusal(source: object, reason: str) -> SystemExit:
    return SystemExit(
        f"training cannot start from {source}: {reason}; name another checkpoint with --pretrained"
    )
