"""A command that runs on several hosts: which rank this process is, and where the others are."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.cluster import hosts as hosts_file
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.heartbeat import Timing
from mfn_patcher.cluster.hosts import Host
from mfn_patcher.cluster.ranks import Rank, detect
from mfn_patcher.cluster.rendezvous import Rendezvous, find_rendezvous


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
            remedy="With --gpus, pass GPUs that the ranks can share evenly; or start one rank per "
            "host, or train with --cpu.",
        )
    return ",".join(devices[rank.local_rank * each : (rank.local_rank + 1) * each])
