"""The workers that train together: joining them, and sums over all of them.

Each process is a worker; there are no servers and no scheduler. The variables are those that
MXNet's launchers set: ``DMLC_PS_ROOT_URI`` and ``DMLC_PS_ROOT_PORT`` are where worker 0 listens for
the others, ``DMLC_NUM_WORKER`` and ``DMLC_WORKER_ID`` the number of workers and that of this one,
and ``DMLC_INTERFACE`` or ``DMLC_NODE_HOST`` the network interface, by its name or its address.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from .base import MXNetError

_NEEDED = ("DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_WORKER_ID")
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface
_LARGE = 1 << 20  # bytes from which on an array is sent by itself
# While worker 0 verifies and saves, the others wait. The launcher ends them if one is gone.
_TIMEOUT = timedelta(days=7)
_GRACE_SECONDS = 5.0


def join() -> tuple[int, int]:
    """Join the other workers; return the number of this one, and how many there are.

    Raises:
        MXNetError: A variable is missing or invalid, or the workers cannot reach each other.
    """
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise MXNetError(f"several workers require {', '.join(missing)} in the environment")
    if not dist.is_available():
        raise MXNetError("this build of PyTorch has no torch.distributed")
    host, port, size, rank = (os.environ[name] for name in _NEEDED)
    _choose_interface()
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    with _failures("cannot join the other workers"):
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            init_method=f"tcp://{host}:{port}",
            rank=int(rank),
            world_size=int(size),
            timeout=_TIMEOUT,
        )
    return int(rank), int(size)


def leave() -> None:
    """Leave the other workers, who must not expect anything more of this one."""
    dist.destroy_process_group()


def add(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over all workers.

    All workers must call this in the same order, with tensors of the same shapes. The sums are
    equal on all of them, to the bit.
    """
    # Sent one by one, the many small arrays of a network would each cost a round trip.
    small = [tensor for tensor in tensors if tensor.nbytes < _LARGE]
    large = [tensor for tensor in tensors if tensor.nbytes >= _LARGE]
    with torch.no_grad():
        flat = [tensor.contiguous() for tensor in large]
        if small:
            flat.append(torch.cat([tensor.reshape(-1) for tensor in small]))
        with _failures("lost the connection to the other workers"):
            works = [dist.all_reduce(tensor, async_op=True) for tensor in flat]
            for work in works:
                work.wait()
        for tensor, summed in zip(large, flat):
            if summed is not tensor:
                tensor.copy_(summed)
        if small:
            parts = flat[-1].split([tensor.numel() for tensor in small])
            torch._foreach_copy_(small, [part.view(t.shape) for part, t in zip(parts, small)])


def wait() -> None:
    """Wait until all workers have reached this point."""
    add([torch.zeros(1)])


@contextlib.contextmanager
def _failures(what: str) -> Iterator[None]:
    """Raise an error of PyTorch as MXNet's."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        # Most likely another worker has failed before; its error should be reported first.
        time.sleep(_GRACE_SECONDS)
        raise MXNetError(f"{what}: {error}") from None


def _choose_interface() -> None:
    """Have PyTorch use the network interface of this worker, unless the user has chosen one.

    By default it uses the address of the host's name, which is often a loopback address.
    """
    name = os.environ.get("DMLC_INTERFACE")
    address = os.environ.get("DMLC_NODE_HOST")
    if not name and address:
        name = _find_interface(socket.gethostbyname(address))
    if name:
        for variable in _INTERFACES:
            os.environ.setdefault(variable, name)


def _find_interface(address: str) -> str | None:
    """Return the network interface that has an IPv4 address; None if that cannot be found out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None
