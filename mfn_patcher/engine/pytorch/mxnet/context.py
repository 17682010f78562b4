"""Devices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """A device.

    Attributes:
        device_type: ``cpu`` or ``gpu``.
        device_id: number among the devices of its type.
    """

    device_type: str
    device_id: int = 0

    def __str__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    __repr__ = __str__


def cpu(device_id: int = 0) -> Context:
    """Return the CPU; all numbers mean the same one."""
    return Context("cpu", device_id)


def gpu(device_id: int = 0) -> Context:
    """Return a GPU by its number among those that ``CUDA_VISIBLE_DEVICES`` makes visible."""
    return Context("gpu", device_id)


def num_gpus() -> int:
    """Return the number of GPUs that PyTorch sees."""
    import torch

    return int(torch.cuda.device_count())


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """Return the free and the total memory of a GPU, in bytes, as its driver sees them."""
    import torch

    free, total = torch.cuda.mem_get_info(device_id)
    return int(free), int(total)
