"""The connection of every other rank to rank 0: its orders, and the end of the job."""

from __future__ import annotations

import queue
import threading

from mfn_patcher.cluster.errors import FaultError, SetupError, StoppedError
from mfn_patcher.cluster.heartbeat import Heartbeat, Timing
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.messages import (
    GREETING,
    Bye,
    Done,
    Failed,
    Hello,
    Message,
    Refused,
    Stop,
    Welcome,
)
from mfn_patcher.cluster.protocol import Connection, connect, repeat
from mfn_patcher.cluster.rank_processes import RankProcesses
from mfn_patcher.cluster.ranks import rank_name
from mfn_patcher.errors import ExitCode, MfnPatchError

_GOODBYE_SECONDS = 10.0


def join(job: Job, processes: RankProcesses, command: str) -> Link:
    """Connect to rank 0 and join its job.

    Args:
        job: how the command is spread over hosts.
        processes: the processes of this rank.
        command: name of the command, which every rank must run.

    Raises:
        SetupError: Rank 0 cannot be reached, or refuses this rank.
    """
    rank, rendezvous, timing = job.rank, job.rendezvous, job.timing
    connection = connect(rendezvous, rank.number, 2 * timing.timeout)
    hello = Hello(GREETING, rank.number, rank.size, rank.local_rank, processes.host, command)
    connection.send(hello)
    answer = connection.receive(timing.timeout)
    if not isinstance(answer, Welcome):
        reason = answer.reason if isinstance(answer, Refused) else "no valid answer"
        raise SetupError(
            f"{processes.name} was refused at {connection.peer_address}:{rendezvous.port}: "
            f"{reason}",
            remedy="Choose another port for this job with --rendezvous HOST:PORT.",
        )
    return Link(connection, processes, timing, rank_name(0, answer.host))


class Link:
    """A connection to rank 0, with a thread that listens and one that sends heartbeats.

    Args:
        connection: the connection.
        processes: the processes of this rank.
        timing: how long to wait for rank 0.
        lead: name of rank 0 in messages.

    Attributes:
        error: why this rank must stop; None while it may continue.
    """

    def __init__(
        self, connection: Connection, processes: RankProcesses, timing: Timing, lead: str
    ) -> None:
        self.error: MfnPatchError | None = None
        self._connection = connection
        self._processes = processes
        self._timing = timing
        self._lead = lead
        self._orders: queue.Queue[Message] = queue.Queue()
        self._done = False
        self._closing = threading.Event()

    @property
    def local_address(self) -> str:
        """Address of this host, as rank 0 sees it."""
        return self._connection.local_address

    @property
    def lead_address(self) -> str:
        """Address of rank 0's host."""
        return self._connection.peer_address

    def start(self) -> None:
        """Start to listen and to send heartbeats."""
        threading.Thread(target=self._listen, daemon=True).start()
        repeat(self._timing.interval, self._beat, self._closing)

    def send(self, message: Message) -> None:
        """Send a message to rank 0."""
        self._connection.send(message)

    def next_order(self) -> Message:
        """Return the next order of rank 0.

        Raises:
            StoppedError: Rank 0 stopped this rank.
            FaultError: Rank 0 is gone.
        """
        order = self._orders.get()
        if self.error:
            raise self.error
        return order

    def fail(self, reason: str, *, interrupted: bool = False) -> MfnPatchError:
        """Tell rank 0 that this rank failed, unless the job is over already.

        Args:
            reason: what happened, for messages.
            interrupted: whether a signal ended this rank.

        Returns:
            Why this rank stops, which may be an earlier error.
        """
        earlier = self.error
        # Set before rank 0 hears of it, and orders this rank to stop.
        error = self._stop(
            StoppedError(reason, ExitCode.INTERRUPTED) if interrupted else FaultError(reason)
        )
        if earlier is None:
            self.send(Failed(reason, interrupted))
        return error

    def wait_for_news(self, seconds: float) -> None:
        """Wait for this many seconds, or until the job is over."""
        self._closing.wait(seconds)

    def check_silence(self, received: str) -> None:
        """Fail this rank if rank 0 is silent: the launcher may have missed it first.

        Args:
            received: name of the signal that this process received, perhaps from the launcher.

        Raises:
            FaultError: Rank 0 has missed heartbeats.
        """
        silence = self._connection.silence()
        if silence > self._timing.suspicious_silence:
            raise self.fail(
                f"received {received} with no heartbeat from {self._lead} for {silence:.0f} s; "
                f"{self._where()}"
            )

    def close(self, *, wait: bool) -> None:
        """Say goodbye and close the connection.

        Args:
            wait: wait until rank 0 has closed it. A launcher kills all ranks once one has failed;
                rank 0, which has a record to write, goes first.
        """
        self.send(Bye())
        if wait:
            self._closing.wait(_GOODBYE_SECONDS)
        self._closing.set()
        self._connection.close()

    def _where(self) -> str:
        return f"{self._processes.name} was {self._processes.heartbeat().describe()}"

    def _stop(self, error: MfnPatchError) -> MfnPatchError:
        if self.error is None:
            self.error = error
            self._orders.put(Done())  # wakes a thread that waits for an order
        return self.error

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            if isinstance(message, Stop):
                reason = f"{self._processes.name} was stopped: {message.reason}"
                self._stop(StoppedError(reason, message.code))
            elif not isinstance(message, Heartbeat):
                self._done = self._done or isinstance(message, Done)
                self._orders.put(message)
        if not self._done:
            self._stop(FaultError(f"the connection to {self._lead} was lost; {self._where()}"))
        self._closing.set()

    def _beat(self) -> None:
        self.send(self._processes.heartbeat())
        limit = self._timing.max_silence
        if self._connection.silence() > limit:
            self._stop(
                FaultError(
                    f"no heartbeat from {self._lead} for {limit:.0f} s: that host is down, or the "
                    f"network is; {self._where()}"
                )
            )
            self._closing.set()
