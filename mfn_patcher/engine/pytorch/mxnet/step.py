"""Training steps, forward and backward, as one compiled function and one CUDA graph.

torch.compile fuses what lies between convolutions, so that arrays are read and written less often.
A CUDA graph launches all kernels of a step at once, which counts if they are short.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .program import Program

_WARM_UP = 3
"""Steps before a CUDA graph is recorded: the first ones compile and choose algorithms."""

_log = logging.getLogger()  # the script also logs there

Found = tuple[tuple[Tensor, ...], tuple[Any, ...], tuple[Tensor, ...]]


class TrainingStep:
    """A training step of a program.

    Attributes:
        recordings: how often a CUDA graph was recorded.
    """

    def __init__(self, program: Program, wanted: Sequence[int], compiled: bool) -> None:
        """Take what to compute.

        Args:
            program: the program, for training.
            wanted: positions of the arguments whose gradients are computed.
            compiled: whether to compile it.
        """
        self._program, self._wanted = program, list(wanted)
        self._run = program.run
        self._compiled = compiled
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded: Found | None = None
        self._addresses: list[int] = []
        self.recordings = 0

    def __call__(self, arguments: Sequence[Tensor], states: Sequence[Tensor]) -> Found:
        """Compute a step.

        Args:
            arguments: arguments of the program.
            states: moving averages of the program.

        Returns:
            Outputs, statistics and gradients, which on a GPU the next step overwrites.
        """
        if self._calls == 0 and self._compiled:
            return self._compile(arguments, states)
        self._calls += 1
        if not arguments[0].is_cuda or not self._compiled:
            return self._compute(arguments, states)
        addresses = [tensor.data_ptr() for tensor in (*arguments, *states)]
        if addresses != self._addresses:
            # A graph reads and writes the memory that it was recorded with.
            self._graph, self._addresses, self._calls = None, addresses, 1
        if self._graph is None and self._calls > _WARM_UP:
            self._record(arguments, states)
        if self._graph is None or self._recorded is None:
            return self._compute(arguments, states)
        self._graph.replay()
        return self._recorded

    def _compile(self, arguments: Sequence[Tensor], states: Sequence[Tensor]) -> Found:
        """Compute the first step, for which PyTorch compiles the program."""
        _log.info("compiling the training step, which can take some minutes")
        # Dropout draws the numbers that it draws without compilation.
        options = {"fallback_random": True}
        self._run = torch.compile(self._program.run, dynamic=False, fullgraph=True, options=options)
        self._calls = 1
        try:
            found = self._compute(arguments, states)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            # Compilation requires Triton on a GPU, and a C++ compiler.
            (reason, *_) = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning("the training step cannot be compiled, so it will be slower: %s", reason)
            self._run, self._compiled = self._program.run, False
            return self._compute(arguments, states)
        _log.info("compiled the training step")
        return found

    def _compute(self, arguments: Sequence[Tensor], states: Sequence[Tensor]) -> Found:
        values, leaves = list(arguments), []
        for i in self._wanted:
            values[i] = arguments[i].detach().requires_grad_()
            leaves.append(values[i])
        with torch.enable_grad():
            outputs, statistics = self._run(values, states)
        losses = [output for output in outputs if output.requires_grad]
        ones = [torch.ones_like(loss) for loss in losses]
        gradients = torch.autograd.grad(
            losses, leaves, ones, allow_unused=True, materialize_grads=True
        )
        return tuple(output.detach() for output in outputs), statistics, gradients

    def _record(self, arguments: Sequence[Tensor], states: Sequence[Tensor]) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(arguments[0].device):
            torch.cuda.synchronize()
            # A graph has its own memory, so the memory of the first steps would stay allocated.
            torch.cuda.empty_cache()
            # The threads of the feed must not disturb it.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._recorded = self._compute(arguments, states)
        self.recordings += 1
