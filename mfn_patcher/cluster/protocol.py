"""The connection between rank 0 and every other rank: one line of JSON per message, over TCP.

Every message is an object with a ``kind``. Other ranks send:

* ``hello``: greeting, rank and command; ``welcome`` or ``refused`` answers it
* ``facts``: the host facts that must agree, findings of the doctor, and ports that are taken
* ``reached``: the ports of other ranks that could not be reached
* ``heartbeat``: step and phase of the worker, and the states of all processes
* ``ended``: the worker completed the stage
* ``fault``: something failed on this rank, or it was interrupted
* ``bye``: the last message

Rank 0 sends:

* ``reach``: the ports to connect to, as a test; ``release``: to free the reserved ports
* ``start``: the stage to train
* ``heartbeat``: nothing but a sign of life
* ``stop``: why every rank must stop; ``done``: nothing is left to do

Nothing is authenticated or encrypted, as in ps-lite itself: for trusted networks only.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.rendezvous import Rendezvous, resolve

GREETING = "mfn-patch 1"
"""Version of the protocol."""
_MAX_BYTES = 1 << 22  # of a message
_SEND_SECONDS = 5
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 0.2

Message = Mapping[str, Any]


class Connection:
    """One end of a connection between two ranks.

    Args:
        connected: a connected socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that reads nothing must not delay messages to the other ranks.
        connected.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0)
        )
        self._socket = connected
        self._reading = connected.makefile("rb")
        self._sending = threading.Lock()
        self._received = time.monotonic()

    @property
    def local_address(self) -> str:
        """Address of this host, as the peer sees it."""
        return str(self._socket.getsockname()[0])

    @property
    def peer_address(self) -> str:
        """Address of the other host."""
        return str(self._socket.getpeername()[0])

    def send(self, kind: str, **fields: object) -> bool:
        """Send a message; return whether that succeeded."""
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            return False
        return True

    def receive(self, timeout: float | None = None) -> Message | None:
        """Return the next message; None if the connection ended.

        Args:
            timeout: seconds after which to give up, which also returns None.
        """
        try:
            self._socket.settimeout(timeout)
            line = self._reading.readline(_MAX_BYTES)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        self._received = time.monotonic()
        return message if isinstance(message, dict) else None

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
            return Connection(connected)
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
