"""The ports that a job uses: reserving them, and testing that other hosts reach them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_CONNECT_SECONDS = 5.0


class Target(NamedTuple):
    """A port of a rank."""

    rank: int
    address: str
    port: int


class Unreachable(NamedTuple):
    """A port of a rank that refused a connection, and the reason."""

    rank: int
    address: str
    port: int
    reason: str


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: The port is taken, or the address is not one of this machine.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def find_unreachable(targets: Iterable[Target]) -> list[Unreachable]:
    """Return those targets that cannot be connected to."""
    failed: list[Unreachable] = []

    def reach(target: Target) -> None:
        try:
            socket.create_connection((target.address, target.port), _CONNECT_SECONDS).close()
        except OSError as error:
            failed.append(Unreachable(*target, error.strerror or str(error)))

    threads = [threading.Thread(target=reach, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(failed)


class ReservedPorts:
    """Holds the ports of a rank's processes until these start.

    Args:
        address: address of this host.
        ports: the ports; 0 for one that the system chooses.

    Attributes:
        held: the ports that are reserved.
        taken: ports that another program uses.
    """

    def __init__(self, address: str, ports: Sequence[int]) -> None:
        self.held: list[int] = []
        self.taken: list[int] = []
        self._sockets: list[socket.socket] = []
        for port in ports:
            try:
                self._sockets.append(listen(address, port))
            except OSError:
                self.taken.append(port)
            else:
                self.held.append(self._sockets[-1].getsockname()[1])

    def release(self) -> None:
        """Free the ports."""
        while self._sockets:
            self._sockets.pop().close()
