"""Copying the next batch to a GPU while it still computes the current step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class _Copy:
    source: Tensor
    copy: Tensor
    done: torch.cuda.Event

    def is_of(self, source: Tensor) -> bool:
        """Return whether it is a copy of the same memory."""
        same = self.source.data_ptr() == source.data_ptr()
        return bool(same and self.source.shape == source.shape)


class Staging:
    """Copies of arrays on one GPU, made on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._begun: dict[str, _Copy] = {}
        self._used: dict[str, _Copy] = {}

    def begin(self, name: str, source: Tensor) -> None:
        """Begin to copy an array, which must keep its values until it has been loaded."""
        with torch.cuda.stream(self._stream):
            copy = source.to(self._device, non_blocking=True)
            done = torch.cuda.Event()
            done.record(self._stream)
        self._begun[name] = _Copy(source, copy, done)

    def load(self, name: str, source: Tensor, target: Tensor) -> bool:
        """Copy an array into another; return whether a copy to the GPU had been started."""
        begun = self._begun.pop(name, None)
        if begun is None or not begun.is_of(source):
            return False
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(begun.done)
        begun.copy.record_stream(computing)
        target.copy_(begun.copy)
        # The source must not be reused before the GPU has read it, so a reference is kept.
        if name in self._used:
            self._used[name].done.synchronize()
        self._used[name] = begun
        return True
