"""Symbols: composing networks, saving them as JSON, and inferring their shapes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import attribute, shapes, symbol_json
from . import name as naming
from .attributes import parse
from .base import MXNetError, OutOfScopeError
from .declaration import Operator
from .nodes import Node, Output, infer_shapes, visit
from .operators import COMPOSERS, OPERATORS
from .shapes import Shape
from .symbol_json import Graph, GraphNode

Shapes = list[Shape]


class Symbol:
    """One or more outputs of a network."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        """Create a symbol from its outputs."""
        self._outputs = tuple(outputs)

    @property
    def name(self) -> str | None:
        """The name of the node; None for a group."""
        return self._outputs[0][0].name if len({node for node, _ in self._outputs}) == 1 else None

    def __repr__(self) -> str:
        return f"<Symbol {self.name or 'group [' + ', '.join(self.list_outputs()) + ']'}>"

    def __len__(self) -> int:
        return len(self._outputs)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol([output]) for output in self._outputs)

    def __getitem__(self, index: int | str) -> Symbol:
        """Return one output by its position or name."""
        if isinstance(index, str):
            found = [i for i, name in enumerate(self.list_outputs()) if name == index]
            if len(found) != 1:
                raise ValueError(f"no output, or more than one, is named {index!r}")
            index = found[0]
        return Symbol([self._outputs[index]])

    # Arithmetic. MXNet names the resulting symbols after these aliases.

    def __add__(self, other: Any) -> Symbol:
        return _arithmetic("_Plus", "_PlusScalar", self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Symbol:
        return _arithmetic("_Minus", "_MinusScalar", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return _arithmetic(None, "_RMinusScalar", self, other)

    def __mul__(self, other: Any) -> Symbol:
        return _arithmetic("_Mul", "_MulScalar", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Symbol:
        return _arithmetic("_Div", "_DivScalar", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return _arithmetic(None, "_RDivScalar", self, other)

    def __neg__(self) -> Symbol:
        return self * -1.0

    # The parts of a symbol.

    def _nodes(self) -> list[Node]:
        return visit(self._outputs)

    def _states(self) -> set[Node]:
        return {node.inputs[i][0] for node in self._nodes() for i in node.states()}

    def list_arguments(self) -> list[str]:
        """Return the names of data, labels and parameters, in the order of the graph."""
        states = self._states()
        return [node.name for node in self._nodes() if node.operator is None and node not in states]

    def list_auxiliary_states(self) -> list[str]:
        """Return the names of the moving averages, in the order of the graph."""
        states = self._states()
        return [node.name for node in self._nodes() if node in states]

    def list_outputs(self) -> list[str]:
        """Return the names of the outputs."""
        return [_output_name(output) for output in self._outputs]

    def get_internals(self) -> Symbol:
        """Return the outputs of all nodes."""
        return Symbol(
            [(node, output) for node in self._nodes() for output in range(node.visible())]
        )

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """Return the attributes of all nodes that have any, by node name.

        As in MXNet, multipliers and the like appear twice, with and without underscores.
        """
        found = {node.name: dict(node.attributes) for node in self._nodes() if node.attributes}
        for attributes in found.values():
            for key in ("lr_mult", "wd_mult", "force_mirroring"):
                if f"__{key}__" in attributes:
                    attributes[key] = attributes[f"__{key}__"]
        return found

    # Shapes.

    def infer_shape(self, **known: Shape) -> tuple[Shapes | None, Shapes | None, Shapes | None]:
        """Return the shapes of arguments, outputs and states; three times None if any is unknown.

        Args:
            **known: shapes of arguments by name; an extent of 0 is unknown.

        Raises:
            MXNetError: Shapes contradict each other.
        """
        nodes = self._nodes()
        found, states = infer_shapes(nodes, known), self._states()
        variables = [node for node in nodes if node.operator is None]
        unknown = [node.name for node in variables if not shapes.is_whole(found[node, 0])]
        if unknown:
            warnings.warn(f"the shapes of {', '.join(unknown)} are not known", stacklevel=2)
            return None, None, None
        return (
            [found[node, 0] or () for node in variables if node not in states],
            [found[output] or () for output in self._outputs],
            [found[node, 0] or () for node in variables if node in states],
        )

    def infer_node_shapes(self, **known: Shape) -> list[tuple[Node, list[Shape | None]]]:
        """Return every operator node with the shapes of its outputs, in topological order."""
        nodes = self._nodes()
        found = infer_shapes(nodes, known)
        return [
            (node, [found[node, i] for i in range(node.visible())])
            for node in nodes
            if node.operator
        ]

    # Files.

    def graph(self) -> Graph:
        """Return the graph, as symbol files contain it."""
        nodes = self._nodes()
        position = {node: i for i, node in enumerate(nodes)}
        return Graph(
            tuple(
                GraphNode(
                    node.operator.name if node.operator else "null",
                    node.name,
                    node.attributes,
                    tuple((position[source], output) for source, output in node.inputs),
                )
                for node in nodes
            ),
            tuple((position[node], output) for node, output in self._outputs),
        )

    def tojson(self) -> str:
        """Return the text of a symbol file, as MXNet 1.9.1 writes it."""
        nodes = self._nodes()
        outputs = [
            node.visible() + (node.operator.hidden(node.values) if node.operator else 0)
            for node in nodes
        ]
        return symbol_json.dumps(self.graph(), outputs, [node.states() for node in nodes])

    def save(self, path: str) -> None:
        """Write a symbol file."""
        Path(path).write_text(self.tojson(), encoding="utf-8")


def load(path: str) -> Symbol:
    """Read a symbol file.

    Raises:
        MXNetError: The file cannot be read, is not a symbol file, or has an operator or attribute
            that this engine does not have.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MXNetError(f"cannot read {path}: {error}") from None
    return load_json(text)


def load_json(text: str) -> Symbol:
    """Read the text of a symbol file; errors are those of :func:`load`."""
    return from_graph(symbol_json.loads(text))


def from_graph(graph: Graph) -> Symbol:
    """Return the symbol of a graph; errors are those of :func:`load`."""
    nodes: list[Node] = []
    for node in graph.nodes:
        operator = None if node.op == "null" else OPERATORS.get(node.op)
        if operator is None and node.op != "null":
            raise OutOfScopeError(f"operator {node.op} ({node.name})")
        inputs = [(nodes[source], output) for source, output in node.inputs]
        nodes.append(Node(operator, node.name, node.attributes, inputs))
    return Symbol([(nodes[source], output) for source, output in graph.heads])


def Group(symbols: Sequence[Symbol]) -> Symbol:
    """Return one symbol with the outputs of several."""
    return Symbol([output for symbol in symbols for output in symbol._outputs])


def var(
    name: str,
    attr: Mapping[str, str] | None = None,
    shape: Shape | None = None,
    lr_mult: float | None = None,
    wd_mult: float | None = None,
    dtype: str | None = None,
    init: Any = None,
    stype: str | None = None,
) -> Symbol:
    """Return a variable: data, a label or a parameter.

    Args:
        name: name of the variable.
        attr: additional attributes.
        shape: shape; an extent of 0 is unknown.
        lr_mult: multiplier of the learning rate.
        wd_mult: multiplier of the weight decay.
        dtype: must be ``float32``.
        init: its own initializer: an object with ``dumps()``, or a name.
        stype: must be ``default``: there are no sparse arrays.
    """
    attributes = {**attribute.current(), **(attr or {})}
    if shape is not None:
        attributes["__shape__"] = str(tuple(shape))
    if lr_mult is not None:
        attributes["__lr_mult__"] = str(lr_mult)
    if wd_mult is not None:
        attributes["__wd_mult__"] = str(wd_mult)
    if dtype is not None:
        if dtype != "float32":
            raise OutOfScopeError(f"a variable of {dtype}")
        attributes["__dtype__"] = "0"
    if init is not None:
        attributes["__init__"] = init if isinstance(init, str) else init.dumps()
    if stype is not None:
        if stype != "default":
            raise OutOfScopeError(f"a variable of storage type {stype}")
        attributes["__storage_type__"] = "0"
    return Symbol([(Node(None, name, attributes), 0)])


Variable = var


def _compose(operator: Operator, alias: str, *given: Any, **keywords: Any) -> Symbol:
    """Apply an operator to symbols."""
    name = keywords.pop("name", None)
    extra = {**attribute.current(), **(keywords.pop("attr", None) or {})}
    symbols = {key: value for key, value in keywords.items() if isinstance(value, Symbol)}
    attributes = {
        key: _write(value)
        for key, value in keywords.items()
        if not isinstance(value, Symbol) and value is not None
    }
    if operator.inputs is None:
        if len(given) == 1 and isinstance(given[0], (list, tuple)):
            given = tuple(given[0])
        attributes.setdefault("num_args", str(len(given)))
    else:
        # Attributes can also be given by position, after the inputs.
        for key, value in zip(operator.attributes, given[len(operator.inputs) :]):
            attributes[key] = _write(value)
        given = given[: len(operator.inputs)]
    name = naming.current().get(name, alias.lower())
    values = parse(operator.name, operator.attributes, attributes)
    wanted = operator.input_names(values)
    given = tuple(item for item in given if item is not None)
    if len(given) > len(wanted) or not all(isinstance(item, Symbol) for item in given):
        raise TypeError(f"{alias} takes symbols for {', '.join(wanted)}")
    unknown = sorted(set(symbols) - set(wanted[len(given) :]))
    if unknown:
        raise TypeError(f"{alias} has no input {', '.join(unknown)}, or it was given twice")
    inputs = []
    for position, wish in enumerate(wanted):
        symbol = given[position] if position < len(given) else symbols.get(wish)
        if symbol is None:
            own = {**attributes}
            if wish in operator.initial:
                own["__init__"] = operator.initial[wish]
            inputs.append((Node(None, f"{name}_{wish}", own), 0))
        elif len(symbol) != 1:
            raise TypeError(f"{alias} takes one output for {wish}, not {len(symbol)}")
        else:
            inputs.append(symbol._outputs[0])
    node = Node(operator, name, {**attributes, **extra}, inputs)
    return Symbol([(node, output) for output in range(node.visible())])


def minimum(left: Symbol, right: float) -> Symbol:
    """Return the elementwise minimum of a symbol and a number."""
    return _arithmetic(None, "_MinimumScalar", left, right)


def maximum(left: Symbol, right: float) -> Symbol:
    """Return the elementwise maximum of a symbol and a number."""
    return _arithmetic(None, "_MaximumScalar", left, right)


def _arithmetic(alias: str | None, scalar_alias: str, symbol: Symbol, other: Any) -> Symbol:
    if isinstance(other, Symbol) and alias is not None:
        return _compose(COMPOSERS[alias], alias, symbol, other)
    if isinstance(other, (int, float)) or hasattr(other, "__float__"):
        return _compose(COMPOSERS[scalar_alias], scalar_alias, symbol, scalar=other)
    raise TypeError(f"cannot combine a symbol with {type(other).__name__}")


def _write(value: Any) -> str:
    if isinstance(value, list):
        value = tuple(value)
    return str(value)


def _output_name(output: Output) -> str:
    node, index = output
    if node.operator is None:
        return node.name
    return f"{node.name}_output{index if node.visible() > 1 else ''}"


def __getattr__(alias: str) -> Callable[..., Symbol]:
    """Return the function that applies the operator of a given name."""
    if alias.startswith("__"):
        raise AttributeError(alias)
    if alias == "LSoftmax":
        raise AttributeError(
            "MXNet 1.9 does not have LSoftmax either, which --loss-type 1 requires"
        )
    if alias not in COMPOSERS:
        raise OutOfScopeError(f"mxnet.symbol.{alias}")
    operator = COMPOSERS[alias]

    def compose(*given: Any, **keywords: Any) -> Symbol:
        return _compose(operator, alias, *given, **keywords)

    compose.__name__ = alias
    globals()[alias] = compose
    return compose
