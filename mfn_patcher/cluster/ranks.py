"""Which rank this process is, and where rank 0 is: asked of the launcher's variables."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mfn_patcher.cluster.errors import SetupError

DEFAULT_PORT = 29112
"""Of rank 0's control channel; those of the roles follow it."""

_PORTS = range(1024, (1 << 16) - 64)
_HOST = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)

OWN = ("MFN_PATCH_RANK", "MFN_PATCH_RANKS", "MFN_PATCH_LOCAL_RANK", "MFN_PATCH_LOCAL_RANKS")
"""Rank, number of ranks, and both among those of this host, for any other launcher."""

# Variables of each launcher: rank, size, local rank, local size. Slurm's first: an MPI started in
# one of its jobs sets its own beside them, and both mean the same; a shell in a job has none of
# SLURM_STEP_*, and is no rank.
_LAUNCHERS = {
    "MFN_PATCH_RANK": OWN,
    "Open MPI": (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""),
}
_NEEDED = {"Slurm": "SLURM_STEP_ID"}

_REMEDY = (
    "Start it as `mpirun -n 4 mfn-patch train ... --cluster` or `srun mfn-patch train ... "
    "--cluster`, or name the hosts with --hosts FILE."
)


@dataclass(frozen=True)
class Place:
    """This process among those of a training.

    Attributes:
        rank: From 0.
        size: Number of ranks.
        local_rank: Among the ranks of this host, from 0.
        local_size: Number of ranks on this host.
        launcher: Whose variables said so.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    launcher: str


@dataclass(frozen=True)
class Root:
    """Where rank 0 listens.

    Attributes:
        hosts: Names or addresses that may be its; the first that answers is taken.
        port: Of the control channel.
        source: Who says so.
    """

    hosts: tuple[str, ...]
    port: int
    source: str


def detect(environment: Mapping[str, str]) -> Place:
    """Return which rank this process is.

    Args:
        environment: The variables that the launcher has set.

    Raises:
        SetupError: No launcher has set any, or they make no sense.
    """
    for launcher, (rank, size, local_rank, local_size) in _LAUNCHERS.items():
        if rank not in environment or _NEEDED.get(launcher, rank) not in environment:
            continue
        place = Place(
            _number(environment, rank),
            _number(environment, size),
            _number(environment, local_rank, "0"),
            _tasks_here(environment)
            if launcher == "Slurm"
            else _number(environment, local_size, "1"),
            launcher,
        )
        if not 0 <= place.rank < place.size or not 0 <= place.local_rank < place.local_size:
            raise SetupError(
                f"rank {place.rank} of {place.size}, on this host {place.local_rank} of "
                f"{place.local_size}, makes no sense ({rank}, {size}, {local_rank})",
                remedy=_REMEDY,
            )
        return place
    raise SetupError("--cluster finds no launcher's variables", remedy=_REMEDY)


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    value = environment.get(name, default)
    if not value.isdecimal():
        raise SetupError(f"{name} is {value!r}, and no number", remedy=_REMEDY)
    return int(value)


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Return the number of Slurm's tasks on this node: ``2(x3),1`` is 2, 2, 2, 1 by node."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        if match := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part):
            counts += [int(match[1])] * int(match[2] or 1)
    node = _number(environment, "SLURM_NODEID", "0")
    return counts[node] if node < len(counts) else _number(environment, "SLURM_LOCALID", "0") + 1


def find_root(place: Place, environment: Mapping[str, str], given: str | None = None) -> Root:
    """Return where rank 0 listens.

    Args:
        place: Of this process.
        environment: The launcher's variables.
        given: What the user says, ``HOST`` or ``HOST:PORT``.

    Raises:
        SetupError: Nobody says it.
    """
    if given is not None:
        host, port = parse_root(given)
        return Root((host,), port, "--rendezvous")
    if place.local_size == place.size:
        return Root(("127.0.0.1",), DEFAULT_PORT, "all ranks are on one host")
    if place.launcher == "Slurm":
        for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"):
            if environment.get(name):
                return Root((first_node(environment[name]),), DEFAULT_PORT, name)
    uri = "OMPI_MCA_orte_hnp_uri"
    hosts = re.findall(r"tcp://([\d.,]+):\d+", environment.get(uri, ""))
    if hosts:
        return Root(tuple(hosts[0].split(",")), DEFAULT_PORT, f"mpirun's host, by {uri}")
    raise SetupError(
        f"{place.launcher} does not say where rank 0 is",
        remedy="Name its host, as the others reach it, with --rendezvous HOST.",
    )


def parse_root(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST`` or ``HOST:PORT``.

    Raises:
        SetupError: It has another form.
    """
    host, colon, port = text.partition(":")
    number = int(port) if port.isdecimal() else 0 if colon else DEFAULT_PORT
    if not _HOST.fullmatch(host) or number not in _PORTS:
        raise SetupError(
            f"--rendezvous {text!r} is not HOST or HOST:PORT",
            remedy="Give a name or an IPv4 address, and a port from 1024 on.",
        )
    return host, number


def first_node(nodes: str) -> str:
    """Return the first of Slurm's list of nodes: ``gpu[03-05,9],login`` is gpu03 and others."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first[0] if first else "")


def addresses(host: str) -> list[str]:
    """Return the IPv4 addresses of a name; ps-lite speaks no IPv6 unasked.

    Raises:
        SetupError: It has none.
    """
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise SetupError(
            f"the host {host!r} has no IPv4 address: {error.strerror}",
            remedy="Name rank 0's host as the others reach it with --rendezvous HOST.",
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_own(address: str) -> bool:
    """Return whether an IPv4 address is one of this machine."""
    with socket.socket() as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True
