"""A command that runs on several hosts: which rank this process is, and how to join the others."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.cluster import hosts as hosts_file
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.hosts import Host
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.ranks import Rank, detect
from mfn_patcher.cluster.rendezvous import Rendezvous, find_rendezvous
from mfn_patcher.cluster.ssh import SshProcesses, ssh_command


@dataclass(frozen=True)
class Job:
    """How a command is spread over hosts.

    Attributes:
        rank: the rank of this process.
        rendezvous: where rank 0 listens.
        timing: how long the ranks wait for one another.
        hosts: hosts on which this process starts the other ranks; empty under a launcher.
    """

    rank: Rank
    rendezvous: Rendezvous
    timing: Timing
    hosts: tuple[Host, ...] = ()


def find_job(
    environment: dict[str, str], hosts: Path | None, rendezvous: str | None, timeout: float
) -> Job:
    """Return how a command is spread over hosts.

    Args:
        environment: environment variables, which hold the launcher's.
        hosts: the file of hosts; None under a launcher.
        rendezvous: value of ``--rendezvous``.
        timeout: seconds that a step may take.

    Raises:
        SetupError: The launcher's variables, the file or the value are not valid.
    """
    timing = Timing(timeout)
    if hosts is None:
        rank = detect(environment)
        return Job(rank, find_rendezvous(rank, environment, rendezvous), timing)
    found = hosts_file.arrange_hosts(hosts_file.read_hosts(hosts))
    return Job(found[0].rank, hosts_file.find_rendezvous(found, rendezvous), timing, found)


def share_devices(gpus: str | None, visible: str | None, rank: Rank) -> str | None:
    """Return the GPUs of a rank, out of those that all ranks of its host share.

    Args:
        gpus: indices or UUIDs, separated by commas; None if the user named none.
        visible: ``CUDA_VISIBLE_DEVICES``, which launchers may set for each rank.
        rank: the rank.

    Raises:
        SetupError: They cannot be shared evenly.
    """
    if rank.local_size == 1 or (gpus is None and visible is not None):
        return gpus
    devices = gpus.split(",") if gpus else []
    each, rest = divmod(len(devices), rank.local_size)
    if rest or not each:
        raise SetupError(
            f"{rank.local_size} ranks on {socket.gethostname()} cannot share "
            + (f"GPUs {gpus} evenly" if gpus else "GPU 0"),
            remedy="Pass as many GPUs for each rank with --gpus, start one rank per host, or train "
            "with --cpu.",
        )
    return ",".join(devices[rank.local_rank * each : (rank.local_rank + 1) * each])


def start_other_ranks(job: Job, arguments: Sequence[str], folder: Path) -> SshProcesses:
    """Return what starts the ranks that no launcher starts.

    Args:
        job: how the command is spread over hosts.
        arguments: arguments of ``mfn-patch``, without ``--hosts``.
        folder: working directory on every host.
    """
    return SshProcesses(
        {
            host.rank.number: ssh_command(host, arguments, job.rendezvous, folder, os.environ)
            for host in job.hosts[1:]
        }
    )


@contextlib.contextmanager
def lead_job(job: Job, python: str, command: str, others: SshProcesses) -> Iterator[Lead]:
    """Yield rank 0 once all other ranks have joined.

    Args:
        job: how the command is spread over hosts.
        python: path of the training interpreter.
        command: name of the command.
        others: starts the other ranks.

    Raises:
        SetupError: A rank did not join.
    """
    with others, Lead(job.rank, job.rendezvous, python, command, job.timing) as lead:
        lead.gather(others.failure)
        yield lead


def follow_job(job: Job, python: str, command: str) -> Follower:
    """Return this process as a rank that has joined rank 0; arguments are those of `lead_job`.

    Raises:
        SetupError: Rank 0 cannot be reached, or refuses this rank.
    """
    return Follower(job.rank, job.rendezvous, python, command, job.timing)
