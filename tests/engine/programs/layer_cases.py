"""Cases: layers of networks, with the attributes that occur in the script's networks."""

import numpy as np

from tests.engine.programs.operator_cases import case, data, permuted, prelu, sym

IMAGE = {"data": (2, 3, 9, 8)}

# Convolution: kernel, stride, padding, groups, bias; what is left out is absent in JSON.
for kernel, stride, pad, groups, no_bias in [
    ((1, 1), None, None, None, True),
    ((1, 1), (1, 1), (0, 0), 1, True),
    ((1, 1), (2, 2), None, None, True),
    ((1, 1), (2, 2), (0, 0), None, False),
    ((1, 3), (1, 1), (0, 1), None, False),
    ((3, 1), (1, 1), (1, 0), None, False),
    ((1, 7), (1, 1), (1, 2), None, False),
    ((7, 1), (1, 1), (2, 1), None, False),
    ((3, 3), (1, 1), (0, 0), None, False),
    ((3, 3), (1, 1), (1, 1), None, True),
    ((3, 3), (2, 2), (1, 1), None, False),
    ((3, 3), (2, 2), (1, 1), 3, True),
    ((3, 3), (1, 1), (1, 1), 3, True),
    ((5, 5), (1, 1), (2, 2), None, False),
    ((5, 5), (2, 2), (2, 2), 3, True),
    ((7, 7), (1, 1), (0, 0), 3, True),
    ((7, 7), (2, 2), (3, 3), None, True),
]:
    attributes = {"stride": stride, "pad": pad, "num_group": groups}
    attributes = {key: value for key, value in attributes.items() if value is not None}
    filters = 3 if groups == 3 else 2
    case(
        f"Convolution {kernel} {attributes} {'no bias' if no_bias else 'bias'}",
        sym.Convolution(
            data, kernel=kernel, num_filter=filters, no_bias=no_bias, name="c", **attributes
        ),
        IMAGE,
    )
for filters, stride in ((4, (1, 1)), (8, (2, 2))):
    case(
        f"Convolution of 2 groups, {filters} filters, stride {stride}",
        sym.Convolution(
            data,
            kernel=(3, 3),
            num_filter=filters,
            num_group=2,
            pad=(1, 1),
            stride=stride,
            no_bias=True,
            workspace=256,
            name="c",
        ),
        {"data": (2, 4, 5, 6)},
    )
case(
    "Convolution as gluon writes it",
    sym.Convolution(
        data,
        kernel=(3, 3),
        num_filter=2,
        num_group=1,
        pad=(1, 1),
        stride=(2, 2),
        dilate=(1, 1),
        layout="NCHW",
        no_bias=True,
        name="c",
    ),
    IMAGE,
)

# BatchNorm: the moving averages are part of what is recorded, and so is what it writes to gamma.
for shape in ((4, 3, 3, 2), (6, 5)):
    for fix_gamma in (True, False):
        case(
            f"BatchNorm {len(shape)}-d fix_gamma={fix_gamma}",
            sym.BatchNorm(data, fix_gamma=fix_gamma, momentum=0.9, name="b"),
            {"data": shape},
        )
        case(
            f"BatchNorm {len(shape)}-d fix_gamma={fix_gamma} eps=2e-05",
            sym.BatchNorm(data, fix_gamma=fix_gamma, eps=2e-5, momentum=0.997, name="b"),
            {"data": shape},
        )
case("BatchNorm by default", sym.BatchNorm(data, name="b"), {"data": (3, 2, 2, 2)})
for eps, momentum in ((0.001, 0.1), (1e-5, 0.9)):
    case(
        f"BatchNorm as gluon writes it, eps={eps}",
        sym.BatchNorm(
            data,
            axis=1,
            eps=eps,
            fix_gamma=False,
            momentum=momentum,
            use_global_stats=False,
            name="b",
        ),
        {"data": (3, 2, 3, 2)},
    )
case(
    "BatchNorm of small numbers",
    sym.BatchNorm(data, fix_gamma=False, eps=2e-5, name="b"),
    arrays={"data": permuted(4, 3, 2, 2, step=1 / 4096)},
    tolerance=1e-6,
)

# LeakyReLU and Activation, at 0 too.
SLOPES = [0.25, 0.5, -0.25]
case(
    "LeakyReLU prelu",
    sym.LeakyReLU(data, act_type="prelu", name="p"),
    {"data": (4, 3, 3, 2)},
    {"p_gamma": SLOPES},
    numeric=["p_gamma"],
)
case(
    "LeakyReLU prelu 2-d",
    sym.LeakyReLU(data, act_type="prelu", name="p"),
    {"data": (5, 3)},
    {"p_gamma": SLOPES},
    numeric=["p_gamma"],
)
case(
    "LeakyReLU prelu at 0",
    sym.LeakyReLU(data, act_type="prelu", name="p"),
    {},
    {"data": [[0.0, -1.0, 0.0], [1.0, 0.0, -0.0]], "p_gamma": SLOPES},
    numeric=["p_gamma"],
)
between = sym.FullyConnected(data, num_hidden=4, name="before")
between = sym.FullyConnected(
    sym.LeakyReLU(between, act_type="prelu", name="p"), num_hidden=2, name="after"
)
case(
    "LeakyReLU between others",
    between,
    {"data": (5, 3)},
    {"p_gamma": [0.25, 0.5, -0.25, 0.75]},
    numeric=["p_gamma"],
    tolerance=1e-6,
)
for shape in ((4, 3, 3, 2), (5, 3)):
    row = (1, -1) + (1,) * (len(shape) - 2)
    case(
        f"PReLU composed {len(shape)}-d",
        prelu(data, "p", row),
        {"data": shape},
        {"p_gamma": SLOPES},
    )
case(
    "PReLU composed at 0",
    prelu(data, "p", (1, -1)),
    {},
    {"data": [[0.0, -1.0, 0.0], [1.0, 0.0, -0.0]], "p_gamma": SLOPES},
)
between = sym.Convolution(data, kernel=(3, 3), num_filter=3, name="before")
between = sym.Convolution(prelu(between, "p"), kernel=(3, 3), num_filter=2, name="after")
case("PReLU composed between others", between, IMAGE, {"p_gamma": SLOPES})
case("PReLU composed beside others", prelu(data, "p") + data, {"data": (2, 3, 2, 2)})
case("_minimum_scalar", sym.minimum(data, 0.5), arrays={"data": [-1.0, 0.5, 0.75, 0.25]})
case("Reshape", sym.reshape(data, shape=(1, -1, 1, 1)), {"data": (4,)})
for act_type in ("relu", "sigmoid"):
    case(f"Activation {act_type}", sym.Activation(data, act_type=act_type), {"data": (2, 3, 2, 2)})
case(
    "Activation relu at 0",
    sym.Activation(data, act_type="relu"),
    {},
    {"data": [0.0, -1.0, 2.0, -0.0]},
)

# FullyConnected, L2Normalization
case("FullyConnected", sym.FullyConnected(data, num_hidden=4, name="f"), {"data": (3, 5)})
case(
    "FullyConnected no_bias",
    sym.FullyConnected(data, num_hidden=4, no_bias=True, name="f"),
    {"data": (3, 5)},
)
case("FullyConnected 4-d", sym.FullyConnected(data, num_hidden=4, name="f"), {"data": (3, 2, 2, 3)})
case("L2Normalization", sym.L2Normalization(data, mode="instance"), {"data": (4, 5)})
case(
    "L2Normalization of small numbers",
    sym.L2Normalization(data, mode="instance"),
    {},
    {"data": [[1e-5, -2e-5, 0.0], [3e-4, 0.0, 1e-6], [0.0, 1.0, -1.0]]},
    tolerance=1e-6,
)

# Pooling: maxima of different numbers, of ties, of negative ones beside the padding.
for kernel, stride, pad in (((3, 3), (2, 2), (1, 1)), ((3, 3), (2, 2), None)):
    attributes = {} if pad is None else {"pad": pad}
    case(
        f"Pooling max {kernel} {stride} {pad}",
        sym.Pooling(data, kernel=kernel, stride=stride, pool_type="max", **attributes),
        arrays={"data": permuted(2, 2, 8, 7)},
    )
case(
    "Pooling max of negative numbers",
    sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max"),
    arrays={"data": permuted(1, 2, 4, 5) - 10},
)
case(
    "Pooling max of ties",
    sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max"),
    arrays={"data": np.random.RandomState(4).randint(0, 3, (2, 2, 7, 6)) / 2},
)
for kernel, stride, pad in (
    ((2, 2), (2, 2), None),
    ((3, 3), (1, 1), (1, 1)),
    ((3, 3), (2, 2), (1, 1)),
):
    attributes = {} if pad is None else {"pad": pad}
    case(
        f"Pooling avg {kernel} {stride} {pad}",
        sym.Pooling(data, kernel=kernel, stride=stride, pool_type="avg", **attributes),
        {"data": (2, 2, 7, 6)},
    )
GLUON = {"pooling_convention": "valid", "global_pool": False, "layout": "NCHW"}
case(
    "Pooling max as gluon writes it",
    sym.Pooling(data, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max", **GLUON),
    arrays={"data": permuted(2, 2, 7, 6)},
)
for kernel, stride, pad in (((1, 1), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1))):
    case(
        f"Pooling avg {kernel} as gluon writes it",
        sym.Pooling(
            data,
            kernel=kernel,
            stride=stride,
            pad=pad,
            pool_type="avg",
            count_include_pad=True,
            **GLUON,
        ),
        {"data": (2, 2, 7, 6)},
    )
case(
    "Pooling global",
    sym.Pooling(data, kernel=(7, 7), global_pool=True, pool_type="avg"),
    {"data": (2, 3, 4, 5)},
)
case("Flatten", sym.Flatten(data), {"data": (2, 3, 2, 2)})
case("Dropout in inference", sym.Dropout(data, p=0.4), {"data": (3, 4)}, training=False)
