"""Rank 0's watch over all ranks: lost hosts, hung steps and signals."""

from __future__ import annotations

import time

from mfn_patcher.cluster.heartbeat import DELIVERY_SECONDS, Heartbeat, Timing
from mfn_patcher.cluster.membership import Membership
from mfn_patcher.cluster.protocol import repeat
from mfn_patcher.cluster.rank_processes import RankProcesses
from mfn_patcher.cluster.stall import StallDetector


class Watchdog:
    """Sends heartbeats to the other ranks, and fails the job when one is lost or late.

    Args:
        processes: the processes of rank 0.
        membership: the other ranks.
        timing: how long to wait for them.
    """

    def __init__(self, processes: RankProcesses, membership: Membership, timing: Timing) -> None:
        self._processes = processes
        self._membership = membership
        self._timing = timing
        self._stall: StallDetector | None = None

    def start(self) -> None:
        """Start to watch, in a thread that ends with the job."""
        repeat(self._timing.interval, self._check, self._membership.closing)

    def start_stage(self) -> None:
        """Watch the steps of a stage from now on."""
        self._stall = StallDetector(self._timing.timeout)

    def end_stage(self) -> None:
        """Watch no steps from now on."""
        self._stall = None

    def blame_silent_rank(self, received: str) -> None:
        """Fail the job if a rank is silent: the launcher may have missed it first.

        Args:
            received: name of the signal that this process received, perhaps from the launcher.
        """
        for member in self._membership.silent(self._timing.suspicious_silence):
            self._membership.fail(
                f"received {received} with no heartbeat from {member.name} for "
                f"{member.connection.silence():.0f} s; it was {member.heartbeat.describe()}",
                lost_host=True,
            )

    def _check(self) -> None:
        self._check_signal()
        self._membership.send_all(Heartbeat())
        self._check_silence()
        self._check_steps()

    def _check_signal(self) -> None:
        received = self._processes.signal
        if received and time.monotonic() > self._processes.signal_time + DELIVERY_SECONDS:
            self.blame_silent_rank(received.name)
            if self._membership.fault is None:
                self._membership.interrupt(f"rank 0 received {received.name}")

    def _check_silence(self) -> None:
        limit = self._timing.max_silence
        if lost := self._membership.silent(limit):
            # If it is this host that was cut off, the other ranks fall silent a moment later.
            lost = self._membership.silent(limit - 2 * self._timing.interval) or lost
            names = ", ".join(member.name for member in lost)
            which = "these hosts are" if lost[1:] else "that host is"
            self._membership.fail(
                f"no heartbeat from {names} for {limit:.0f} s: {which} down, or the network is; "
                f"the last state was {lost[0].heartbeat.describe()}",
                lost_host=True,
            )

    def _check_steps(self) -> None:
        stall = self._stall
        if not stall:
            return
        own = self._processes.heartbeat()
        stall.observe(own, time.monotonic())
        members = self._membership.members
        heartbeats = {0: own, **{each.number: each.heartbeat_now() for each in members}}
        reason = stall.find_stall(heartbeats, self._membership.names)
        # The stage may have ended meanwhile.
        if reason and self._stall:
            self._membership.fail(reason)
