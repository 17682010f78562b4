"""Write spoiled copies of a checkpoint: python spoil.py CHECKPOINT KIND=FILE..."""

from __future__ import annotations

import sys
from typing import Any

import mxnet as mx
import numpy as np

NAME = "arg:fc1_weight"


def lacking(parameters: dict[str, Any]) -> None:
    del parameters[NAME]


def diverged(parameters: dict[str, Any]) -> None:
    parameters[NAME][0] = float("nan")


def of_another_shape(parameters: dict[str, Any]) -> None:
    parameters[NAME] = parameters[NAME][:, :-1]


def unstable(parameters: dict[str, Any]) -> None:
    # MXNet adds what it then takes away; folded into one layer, it is never added.
    parameters["arg:pre_fc1_bias"][:] = 1e9
    parameters["aux:fc1_moving_mean"][:] += 1e9


def oversized(parameters: dict[str, Any]) -> None:
    parameters["arg:res_3_block1_conv_proj_batchnorm_gamma"][:] = 1e9


def loud(parameters: dict[str, Any]) -> None:
    # Half precision holds its weights and its embeddings, but not what its first layer returns.
    parameters["arg:conv_1_batchnorm_gamma"][:] = 2e4
    for layer in ("conv_2_dw", "dconv_23_conv_sep"):
        parameters[f"arg:{layer}_conv2d_weight"][:] /= 141


def unusual(parameters: dict[str, Any]) -> None:
    # MXNet computes with 1 whatever a gamma that is fixed holds.
    parameters["arg:fc1_gamma"][:] = np.linspace(1, 3, 128)
    parameters["arg:res_4_block1_conv_sep_conv2d_weight"][:16] = 1e-40


def half(parameters: dict[str, Any]) -> None:
    parameters.update({name: array.astype("float16") for name, array in parameters.items()})


def double(parameters: dict[str, Any]) -> None:
    parameters.update({name: array.astype("float64") for name, array in parameters.items()})


def main() -> None:
    for argument in sys.argv[2:]:
        kind, path = argument.split("=", 1)
        parameters = mx.nd.load(sys.argv[1])
        globals()[kind](parameters)
        mx.nd.save(path, parameters)


if __name__ == "__main__":
    main()
