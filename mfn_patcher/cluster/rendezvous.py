"""Where the ranks meet: the host and port at which rank 0 listens."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import Rank

DEFAULT_PORT = 29112
"""Port of rank 0's control connection; the ports of the roles follow it."""

_PORTS = range(1024, (1 << 16) - 64)
_HOST = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Rendezvous:
    """Where rank 0 listens.

    Attributes:
        hosts: names or addresses of its host; the first that answers is used.
        port: port of the control connection.
        source: where this is known from, for messages.
    """

    hosts: tuple[str, ...]
    port: int
    source: str


def find_rendezvous(
    rank: Rank, environment: Mapping[str, str], given: str | None = None
) -> Rendezvous:
    """Return where rank 0 listens.

    Args:
        rank: the rank of this process.
        environment: the launcher's variables.
        given: value of ``--rendezvous``, ``HOST`` or ``HOST:PORT``.

    Raises:
        SetupError: Neither the user nor the launcher provides it.
    """
    if given is not None:
        host, port = parse_rendezvous(given)
        return Rendezvous((host,), port, "--rendezvous")
    if rank.local_size == rank.size:
        return Rendezvous(("127.0.0.1",), DEFAULT_PORT, "all ranks are on one host")
    if rank.launcher == "Slurm":
        for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"):
            if environment.get(name):
                return Rendezvous((first_node(environment[name]),), DEFAULT_PORT, name)
    uri = "OMPI_MCA_orte_hnp_uri"
    hosts = re.findall(r"tcp://([\d.,]+):\d+", environment.get(uri, ""))
    if hosts:
        return Rendezvous(tuple(hosts[0].split(",")), DEFAULT_PORT, f"the host of mpirun, {uri}")
    raise SetupError(
        f"{rank.launcher} does not say where rank 0 runs",
        remedy="Pass the host of rank 0, as the other hosts reach it: --rendezvous HOST.",
    )


def parse_rendezvous(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST`` or ``HOST:PORT``.

    Raises:
        SetupError: The text has another form.
    """
    host, colon, port = text.partition(":")
    number = int(port) if port.isdecimal() else 0 if colon else DEFAULT_PORT
    if not _HOST.fullmatch(host) or number not in _PORTS:
        raise SetupError(
            f"--rendezvous {text!r} is not HOST or HOST:PORT",
            remedy=f"HOST is a name or an IPv4 address; PORT is between {_PORTS[0]} and "
            f"{_PORTS[-1]}.",
        )
    return host, number


def first_node(nodes: str) -> str:
    """Return the first node of a Slurm node list: gpu03 for ``gpu[03-05,9],login``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first[0] if first else "")


def resolve(host: str) -> list[str]:
    """Return the IPv4 addresses of a host name. ps-lite does not use IPv6 by default.

    Raises:
        SetupError: The name has no IPv4 address.
    """
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise SetupError(
            f"host {host!r} has no IPv4 address: {error.strerror}",
            remedy="Pass the host of rank 0, as the other hosts reach it: --rendezvous HOST.",
        ) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_local_address(address: str) -> bool:
    """Return whether an IPv4 address belongs to this machine."""
    with socket.socket() as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True
