"""Shape rules of the operators.

A rule takes the attribute values of a node and the known shapes of its inputs, and returns the
shapes of inputs and outputs. None is an unknown shape, 0 an unknown extent. A rule raises
ValueError if shapes do not match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

Shape = tuple[int, ...]
Known = list["Shape | None"]
Rule = Callable[[dict[str, Any], Known], "tuple[Known, Known]"]


def merge(known: Shape | None, found: Shape | None) -> Shape | None:
    """Merge two partially known descriptions of one shape.

    Raises:
        ValueError: They contradict each other.
    """
    if known is None or known == found:
        return found
    if found is None:
        return known
    if len(known) != len(found):
        raise ValueError(f"{known} against {found}")
    merged = tuple(a or b for a, b in zip(known, found))
    if any(a and b and a != b for a, b in zip(known, found)):
        raise ValueError(f"{known} against {found}")
    return merged


def is_whole(shape: Shape | None) -> bool:
    """Return whether a shape is completely known."""
    return shape is not None and 0 not in shape


def _nothing(shapes: Known) -> tuple[Known, Known]:
    return shapes, [None]


def same(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """One input, and one output of the same shape."""
    return shapes, [shapes[0]]


def elementwise(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Two inputs and one output of the same shape."""
    both = merge(shapes[0], shapes[1])
    return [both, both], [both]


def add_n(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Any number of inputs and one output of the same shape."""
    both: Shape | None = None
    for shape in shapes:
        both = merge(both, shape)
    return [both] * len(shapes), [both]


def broadcast(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Two inputs with the same number of axes; axes of extent 1 are broadcast."""
    left, right = shapes
    if left is None or right is None:
        return _nothing(shapes)
    if len(left) != len(right) or any(a != b and 1 not in (a, b) for a, b in zip(left, right)):
        raise ValueError(f"{left} cannot be broadcast with {right}")
    return shapes, [tuple(max(a, b) for a, b in zip(left, right))]


def convolution(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data (N, C, H, W), weight (filters, C / groups, kernel height and width), bias (filters,)."""
    data, filters, kernel = shapes[0], values["num_filter"], values["kernel"]
    groups = values["num_group"]
    channels = data[1] // groups if data else 0
    found: Known = [data, (filters, channels, *kernel)]
    if not values["no_bias"]:
        found.append((filters,))
    if data is None:
        return found, [None]
    if len(data) != 4:
        raise ValueError(f"data has {len(data)} axes, not 4")
    if data[1] % groups or filters % groups:
        raise ValueError(f"{data[1]} channels and {filters} filters in {groups} groups")
    stride, pad = values["stride"] or (1, 1), values["pad"] or (0, 0)
    dilate = values["dilate"] or (1, 1)
    sides = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(data[2:], kernel, stride, pad, dilate)
    ]
    if any(side < 1 for side in sides):
        raise ValueError(f"a kernel of {kernel} is larger than the data, {data}")
    return found, [(data[0], filters, *sides)]


def batch_norm(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data with channels on axis 1; all other inputs (channels,)."""
    data = shapes[0]
    if data is None:
        return _nothing(shapes)
    return [data, *[(data[1],)] * 4], [data]


def prelu(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data with channels on axis 1; slopes (channels,) or (1,)."""
    data, slopes = shapes
    if data is None:
        return _nothing(shapes)
    if slopes != (1,):
        slopes = (data[1],)
    return [data, slopes], [data]


def fully_connected(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data (N, ...), weight (hidden, elements per sample), bias (hidden,)."""
    data, hidden = shapes[0], values["num_hidden"]
    width = 0
    if data is not None:
        width = prod(data[1:]) if values["flatten"] else data[-1]
    found: Known = [data, (hidden, width)]
    if not values["no_bias"]:
        found.append((hidden,))
    if data is None:
        return found, [None]
    return found, [(data[0], hidden) if values["flatten"] else (*data[:-1], hidden)]


def pooling(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data (N, C, H, W)."""
    data = shapes[0]
    if data is None:
        return _nothing(shapes)
    if len(data) != 4:
        raise ValueError(f"data has {len(data)} axes, not 4")
    if values["global_pool"]:
        return shapes, [(*data[:2], 1, 1)]
    stride, pad = values["stride"] or (1, 1), values["pad"] or (0, 0)
    full = values["pooling_convention"] == "full"
    sides = []
    for side, k, s, p in zip(data[2:], values["kernel"], stride, pad):
        room = side + 2 * p - k
        sides.append((-(-room // s) if full else room // s) + 1)
    return shapes, [(*data[:2], *sides)]


def flatten(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Flattens all axes but the first."""
    data = shapes[0]
    return shapes, [data and (data[0], prod(data[1:]))]


def concat(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Any number of inputs that only differ on one axis."""
    axis = values["dim"]
    if any(shape is None for shape in shapes):
        return _nothing(shapes)
    known = [shape for shape in shapes if shape is not None]
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in known}
    if len(rests) > 1:
        raise ValueError(f"{' and '.join(str(shape) for shape in known)} on axis {axis}")
    joined = list(known[0])
    joined[axis] = sum(shape[axis] for shape in known)
    return shapes, [tuple(joined)]


def slice_channel(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Splits one axis into equal parts, one per output."""
    data, parts, axis = shapes[0], values["num_outputs"], values["axis"]
    if data is None:
        return shapes, [None] * parts
    if data[axis] % parts:
        raise ValueError(f"{data[axis]} cannot be split into {parts} equal parts")
    if values["squeeze_axis"]:
        return shapes, [(*data[:axis], *data[axis + 1 :])] * parts
    return shapes, [(*data[:axis], data[axis] // parts, *data[axis + 1 :])] * parts


def slice_axis(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Returns a range of one axis."""
    data, axis = shapes[0], values["axis"]
    if data is None:
        return _nothing(shapes)
    length = len(range(data[axis])[values["begin"] : values["end"]])
    cut = list(data)
    cut[axis] = length
    return shapes, [tuple(cut)]


def slice_all(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Returns a range of each of the first axes."""
    data = shapes[0]
    if data is None:
        return _nothing(shapes)
    begin, end = values["begin"], values["end"]
    steps = values["step"] or (None,) * len(begin)
    if any(step is not None and step < 1 for step in steps):
        raise ValueError(f"steps of {steps}")
    cut = [len(range(side)[b:e:s]) for side, b, e, s in zip(data, begin, end, steps)]
    return shapes, [(*cut, *data[len(cut) :])]


def pad(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Pads each axis before and after."""
    data, width = shapes[0], values["pad_width"]
    if data is None:
        return _nothing(shapes)
    if len(width) != 2 * len(data):
        raise ValueError(f"pad_width {width} for {len(data)} axes")
    return shapes, [tuple(side + width[2 * i] + width[2 * i + 1] for i, side in enumerate(data))]


def softmax_output(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Data (N, classes), labels (N,)."""
    data = shapes[0]
    if data is None:
        return _nothing(shapes)
    return [data, merge(shapes[1], (data[0],))], [data]


def one_hot(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Appends an axis of extent ``depth``."""
    data = shapes[0]
    return shapes, [data and (*data, values["depth"])]


def pick(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Removes one axis by picking one element."""
    data, axis = shapes[0], values["axis"]
    if data is None:
        return _nothing(shapes)
    if axis is None:
        raise ValueError("pick from flattened data is not supported")
    axis %= len(data)
    rest = (*data[:axis], *data[axis + 1 :])
    return [data, merge(shapes[1], rest)], [rest]


def where(_: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """A condition and two arrays of the same shape."""
    both = merge(merge(shapes[0], shapes[1]), shapes[2])
    return [both] * 3, [both]


def expand_dims(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Inserts an axis of extent 1."""
    data = shapes[0]
    if data is None:
        return _nothing(shapes)
    axis = values["axis"] % (len(data) + 1)
    return shapes, [(*data[:axis], 1, *data[axis:])]


def reshape(values: dict[str, Any], shapes: Known) -> tuple[Known, Known]:
    """Another shape, of which one extent may be -1."""
    data, wanted = shapes[0], torch_shape(values["shape"])
    if not is_whole(data) or data is None:
        return _nothing(shapes)
    size, fixed = prod(data), prod(extent for extent in wanted if extent != -1)
    found = tuple(size // fixed if extent == -1 else extent for extent in wanted)
    if prod(found) != size:
        raise ValueError(f"{data} cannot become {values['shape']}")
    return shapes, [found]


def torch_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the target shape of a reshape; of MXNet's special codes, only -1 is supported."""
    if any(extent < -1 or extent == 0 for extent in shape):
        raise ValueError(f"a reshape to {tuple(shape)} is not supported")
    return tuple(shape)
