"""The TCP connection between rank 0 and every other rank.

Nothing is authenticated or encrypted, as in what moves the gradients: for trusted networks only.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.messages import Message, parse, to_line
from mfn_patcher.cluster.rendezvous import Rendezvous, resolve

_LOG = logging.getLogger(__name__)
_MAX_BYTES = 1 << 22  # of a message
_SEND_SECONDS = 5
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 0.2


class Connection:
    """One end of a connection between two ranks.

    Args:
        connected: a connected socket.
        peer_address: address of the other host.

    Attributes:
        local_address: address of this host, as the peer sees it.
        peer_address: address of the other host.
    """

    def __init__(self, connected: socket.socket, peer_address: str) -> None:
        # A socket does not tell the address of a peer that has gone.
        self.local_address = str(connected.getsockname()[0])
        self.peer_address = peer_address
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that reads nothing must not delay messages to the other ranks.
        connected.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0)
        )
        self._socket = connected
        self._reading = connected.makefile("rb")
        self._sending = threading.Lock()
        self._received = time.monotonic()

    def send(self, message: Message) -> bool:
        """Send a message; return whether that succeeded."""
        line = to_line(message)
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            return False
        return True

    def receive(self, timeout: float | None = None) -> Message | None:
        """Return the next message; None if the connection ended or is of no further use.

        What follows a line that holds no message cannot be trusted, so it is the last that is read.

        Args:
            timeout: seconds after which to give up, which also returns None.
        """
        try:
            self._socket.settimeout(timeout)
            line = self._reading.readline(_MAX_BYTES)
        except (OSError, ValueError):  # the latter if it was closed meanwhile
            return None
        if not line:
            return None
        try:
            if not line.endswith(b"\n"):
                raise ValueError("the message is incomplete or too long")
            message = parse(line)
        except ValueError as error:
            _LOG.warning("invalid message from %s: %s", self.peer_address, error)
            return None
        self._received = time.monotonic()
        return message

    def silence(self) -> float:
        """Return the seconds since the last message was received."""
        return time.monotonic() - self._received

    def close(self) -> None:
        """End the connection, also for a thread that waits in `receive`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def connect(rendezvous: Rendezvous, rank: int, timeout: float) -> Connection:
    """Return a connection to rank 0, which may start to listen later than this is called.

    Args:
        rendezvous: where rank 0 listens.
        rank: the rank of this process, for messages.
        timeout: seconds after which to give up.

    Raises:
        SetupError: Rank 0 cannot be reached.
    """
    found = [address for host in rendezvous.hosts for address in resolve(host)]
    end = time.monotonic() + timeout
    reason = ""
    while time.monotonic() < end:
        for address in found:
            try:
                connected = socket.create_connection((address, rendezvous.port), _CONNECT_SECONDS)
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            connected.settimeout(None)
            return Connection(connected, address)
        time.sleep(_RETRY_SECONDS)
    where = " or ".join(f"{address}:{rendezvous.port}" for address in found)
    raise SetupError(
        f"rank {rank} on {socket.gethostname()} cannot reach rank 0 at {where} "
        f"({rendezvous.source}): {reason}",
        remedy="Open that port in the firewall of rank 0's host, or pass another address of it "
        "with --rendezvous HOST:PORT.",
    )


def repeat(interval: float, action: Callable[[], None], ended: threading.Event) -> None:
    """Call `action` every `interval` seconds, in a thread of its own, until `ended` is set."""

    def run() -> None:
        while not ended.wait(interval):
            action()

    threading.Thread(target=run, daemon=True).start()
