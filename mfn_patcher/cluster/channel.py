"""Messages between the tool's processes: a line of JSON each, over TCP.

Nothing is authenticated or encrypted, as in ps-lite itself: for networks that are trusted.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import Root, addresses

GREETING = "mfn-patch 1"
_LONGEST = 1 << 22  # bytes of a message
_SEND_SECONDS = 5
_TRY_SECONDS = 5.0

Message = Mapping[str, Any]
Target = tuple[int, str, int]
"""Rank, address and port."""


class Line:
    """One end of a connection.

    Args:
        connection: Connected.

    Attributes:
        heard: When something came last, on the monotonic clock.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that takes nothing must not hold up those that tell the others.
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0)
        )
        self._socket = connection
        self._reading = connection.makefile("rb")
        self._sending = threading.Lock()
        self.heard = time.monotonic()

    @property
    def here(self) -> str:
        """This host's address, as the other one sees it."""
        return str(self._socket.getsockname()[0])

    @property
    def there(self) -> str:
        """The other host's address."""
        return str(self._socket.getpeername()[0])

    def send(self, kind: str, **fields: object) -> bool:
        """Send a message; return whether it could be."""
        line = json.dumps({"kind": kind, **fields}).encode() + b"\n"
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            return False
        return True

    def receive(self) -> Message | None:
        """Return the next message, or None at the end of the connection."""
        try:
            line = self._reading.readline(_LONGEST)
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        self.heard = time.monotonic()
        return message if isinstance(message, dict) else None

    def silence(self) -> float:
        """Return the seconds since something came."""
        return time.monotonic() - self.heard

    def wait_at_most(self, seconds: float | None) -> None:
        """Let `receive` end after so many seconds."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """End the connection, also for a thread that waits in `receive`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def listen(address: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: The port is taken, or the address is none of this machine's.
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


def connect(root: Root, rank: int, seconds: float) -> Line:
    """Return a connection to rank 0, which may begin to listen later than this is called.

    Args:
        root: Where it listens.
        rank: Of this process, for messages.
        seconds: To go on trying.

    Raises:
        SetupError: It can't be reached.
    """
    found = [address for host in root.hosts for address in addresses(host)]
    end = time.monotonic() + seconds
    why = ""
    while time.monotonic() < end:
        for address in found:
            try:
                connection = socket.create_connection((address, root.port), _TRY_SECONDS)
            except OSError as error:
                why = error.strerror or str(error)
                continue
            connection.settimeout(None)
            return Line(connection)
        time.sleep(0.2)
    where = " or ".join(f"{address}:{root.port}" for address in found)
    raise SetupError(
        f"rank {rank} on {socket.gethostname()} can't reach rank 0 at {where} ({root.source}): "
        f"{why}",
        remedy="Open that port in the firewall of rank 0's host, or name another address of it "
        "with --rendezvous HOST:PORT.",
    )


def unreachable(targets: Iterable[Target]) -> list[tuple[int, str, int, str]]:
    """Return those of other ranks' ports that can't be connected to, and why."""
    failed: list[tuple[int, str, int, str]] = []

    def reach(target: Target) -> None:
        try:
            socket.create_connection(target[1:], _TRY_SECONDS).close()
        except OSError as error:
            failed.append((*target, error.strerror or str(error)))

    threads = [threading.Thread(target=reach, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(failed)


class Ports:
    """Holds the ports that the roles of a host will use, until they do.

    Args:
        address: To hold them at.
        ports: By number.

    Attributes:
        busy: Those that somebody else holds.
    """

    def __init__(self, address: str, ports: Sequence[int]) -> None:
        self.busy: list[int] = []
        self._held: list[socket.socket] = []
        for port in ports:
            try:
                self._held.append(listen(address, port))
            except OSError:
                self.busy.append(port)

    def release(self) -> None:
        """Let go of them."""
        while self._held:
            self._held.pop().close()


def repeat(every: float, action: Callable[[], None], ended: threading.Event) -> threading.Thread:
    """Call `action` every so many seconds, in a thread, until `ended`."""

    def run() -> None:
        while not ended.wait(every):
            action()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
