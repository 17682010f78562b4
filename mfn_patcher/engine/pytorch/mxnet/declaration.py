"""What an operator declares: inputs, attributes, a shape rule, and its PyTorch code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .attributes import Attribute
from .expressions import Attributes, Code
from .shapes import Rule


@dataclass(frozen=True)
class Operator:
    """Everything that the package knows about an operator.

    Attributes:
        name: name in a symbol file.
        inputs: names of the inputs, in order; None if it takes any number of inputs, given by its
            attribute ``num_args``.
        shapes: rule that infers the shapes of inputs and outputs.
        code: function that returns the Python expression that computes the operator, from the
            attribute values, the expressions of the inputs, and whether a training step is
            computed.
        attributes: attributes by name.
        aliases: other names under which it is composed; unnamed symbols are numbered separately for
            each name.
        auxiliary: how many of the last inputs are states that a training step updates.
        outputs: function that returns the number of outputs, for an operator whose code is a tuple
            of them; None for an operator with one output.
        hidden: function that returns how many additional, internal outputs MXNet counts in its
            files.
        skipped: function that returns the names of the inputs that are absent with these
            attributes.
        initial: the ``__init__`` attribute of variables that are created for missing inputs, by
            input.
        saves_input: whether backward reads the first input again, which therefore stays in memory.
    """

    name: str
    inputs: tuple[str, ...] | None
    shapes: Rule
    code: Code
    attributes: dict[str, Attribute] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    auxiliary: int = 0
    outputs: Callable[[Attributes], int] | None = None
    hidden: Callable[[Attributes], int] = lambda _: 0
    skipped: Callable[[Attributes], tuple[str, ...]] = lambda _: ()
    initial: dict[str, str] = field(default_factory=dict)
    saves_input: bool = False

    def input_names(self, values: Attributes) -> tuple[str, ...]:
        """Return the names of the inputs for given attribute values."""
        if self.inputs is None:
            return tuple(f"arg{i}" for i in range(values["num_args"]))
        skipped = self.skipped(values)
        return tuple(name for name in self.inputs if name not in skipped)

    def count_outputs(self, values: Attributes) -> int:
        """Return the number of outputs for given attribute values."""
        return 1 if self.outputs is None else self.outputs(values)
