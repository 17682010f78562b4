"""Executing a graph: forward, backward, and updating the moving averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from . import settings, symbol_json
from .base import MXNetError
from .ndarray import NDArray
from .program import Program, compile_graph
from .step import TrainingStep


class Executor:
    """Executes a graph on given arrays.

    Attributes:
        arg_dict: arguments by name, which are read in place.
        aux_dict: moving averages by name, which are updated in place.
        grad_dict: gradients by name; None for arguments without a gradient.
        outputs: outputs of the last forward pass.
    """

    def __init__(
        self,
        json: str,
        arguments: Mapping[str, NDArray],
        states: Mapping[str, NDArray],
        gradients: Sequence[str] = (),
    ) -> None:
        """Bind arrays to a graph.

        Args:
            json: the graph, as the text of a symbol file.
            arguments: data, labels and parameters by name.
            states: moving averages by name.
            gradients: names of the arguments whose gradients backward computes.

        Raises:
            MXNetError: The graph cannot be computed, or an array is missing.
        """
        self._graph, self._settings = symbol_json.loads(json), replace(settings.current)
        self._step: TrainingStep | None = None
        self._programs: dict[bool, Program] = {}
        self.arg_dict, self.aux_dict = dict(arguments), dict(states)
        self.grad_dict: dict[str, NDArray | None] = dict.fromkeys(self.arg_dict)
        for name in gradients:
            self.grad_dict[name] = NDArray(torch.zeros_like(self.arg_dict[name].tensor))
        program = self._program(False)
        missing = [n for n in program.arguments if n not in self.arg_dict]
        missing += [n for n in program.states if n not in self.aux_dict]
        if missing:
            raise MXNetError(f"the graph requires {', '.join(missing)}")
        self.outputs: list[NDArray] = []
        self._heads: tuple[Tensor, ...] = ()
        self._leaves: dict[str, Tensor] = {}
        self._statistics: tuple[Any, ...] = ()

    def _program(self, training: bool) -> Program:
        if training not in self._programs:
            self._programs[training] = compile_graph(
                self._graph, training, self._settings.precision
            )
        return self._programs[training]

    def forward(self, is_train: bool = False) -> list[NDArray]:
        """Compute the outputs.

        Args:
            is_train: whether this is a training step, which backward can follow.
        """
        program, arguments, states = self._take(is_train)
        self._heads, self._statistics, self._leaves = (), (), {}
        if is_train:
            for i in self._wanted(program):
                leaf = arguments[i] = arguments[i].detach().requires_grad_()
                self._leaves[program.arguments[i]] = leaf
        with torch.set_grad_enabled(is_train):
            heads, self._statistics = program.run(arguments, states)
        self._heads = heads if is_train else ()
        self.outputs = [NDArray(head.detach()) for head in heads]
        return self.outputs

    def forward_backward(self) -> None:
        """Compute outputs, gradients and moving averages of a training step for losses.

        The same as `forward` and `backward` to rounding; faster if it is compiled.
        """
        program, arguments, states = self._take(True)
        wanted = self._wanted(program)
        if self._step is None:
            compiled = self._settings.compiled
            on_gpu = arguments[0].is_cuda
            self._step = TrainingStep(program, wanted, on_gpu if compiled is None else compiled)
        outputs, self._statistics, gradients = self._step(arguments, states)
        self.outputs = [NDArray(output) for output in outputs]
        for i, gradient in zip(wanted, gradients):
            self.grad_dict[program.arguments[i]] = NDArray(gradient)
        self._move_averages()
        self._heads, self._leaves = (), {}

    def _take(self, training: bool) -> tuple[Program, list[Tensor], list[Tensor]]:
        """Return a program, and the arguments and states to run it on."""
        program = self._program(training)
        for name in program.ones:
            self.arg_dict[name].tensor.fill_(1.0)
        arguments = [self.arg_dict[name].tensor for name in program.arguments]
        return program, arguments, [self.aux_dict[name].tensor for name in program.states]

    def _wanted(self, program: Program) -> list[int]:
        """Return the positions of the arguments whose gradients are computed."""
        return [
            i
            for i, name in enumerate(program.arguments)
            if self.grad_dict[name] is not None and name not in program.ones
        ]

    def backward(self, out_grads: Sequence[NDArray | None] | None = None) -> None:
        """Compute the gradients of the last training step, and update the moving averages.

        Args:
            out_grads: gradient of each output; by default ones, which is right for losses.
        """
        if not self._heads:
            raise MXNetError("call forward with is_train=True before backward")
        wanted = [i for i, head in enumerate(self._heads) if head.requires_grad]
        heads = [self._heads[i] for i in wanted]
        if out_grads is None:
            above = [torch.ones_like(head) for head in heads]
        else:
            given = [out_grads[i] for i in wanted]
            above = [
                torch.zeros_like(head) if item is None else item.tensor.to(head.dtype)
                for head, item in zip(heads, given)
            ]
        leaves = list(self._leaves.values())
        found = torch.autograd.grad(heads, leaves, above, allow_unused=True) if leaves else ()
        for (name, leaf), gradient in zip(self._leaves.items(), found):
            array = torch.zeros_like(leaf) if gradient is None else gradient
            self.grad_dict[name] = NDArray(array)
        self._move_averages()
        self._heads, self._leaves = (), {}

    def _move_averages(self) -> None:
        """Update the moving averages of all batch norms with the statistics of the last step."""
        program = self._program(True)
        tensors = [self.aux_dict[name].tensor for name in program.states]
        means = [mean for mean, _ in self._statistics]
        # MXNet averages the biased variance, by which it also normalises the batch.
        variances = [deviation for _, deviation in self._statistics]
        self._statistics = ()
        if not means:
            return
        moved = [tensors[one.mean] for one in program.moving]
        moved += [tensors[one.variance] for one in program.moving]
        momenta = [one.momentum for one in program.moving] * 2
        with torch.no_grad():
            variances = list(torch._foreach_pow(variances, -2.0))
            torch._foreach_sub_(variances, [one.epsilon for one in program.moving])
            values = torch._foreach_mul(means + variances, [1 - momentum for momentum in momenta])
            torch._foreach_mul_(moved, momenta)
            torch._foreach_add_(moved, values)
