"""The hosts that a file lists, and the ranks on them."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher import files
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import (
    DEFAULT_PORT,
    Rendezvous,
    is_local_address,
    parse_rendezvous,
    resolve,
)
from mfn_patcher.encoding import decode

# Excludes anything that ssh, or the user's ProxyCommand, could take for an option or a command.
_HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_][\w.:%-]*", re.ASCII)
_MOST_SHOWN = 60  # characters of a line, which has thousands if the file is not text
_REMEDY = "List one host per line, as HOST or USER@HOST."


@dataclass(frozen=True)
class Host:
    """A host and the rank that runs on it.

    Attributes:
        name: the host as the file lists it, with the user's name if there is one.
        rank: the rank.
    """

    name: str
    rank: Rank

    @property
    def address(self) -> str:
        """The name without the user's."""
        return self.name.rpartition("@")[2]


def read_hosts(file: Path) -> tuple[str, ...]:
    """Return the hosts that a file lists, one per line; ``#`` starts a comment.

    Raises:
        SetupError: The file lists no host, or has a line that is not a host.
    """
    try:
        lines = decode(files.read(file)).splitlines()
    except OSError as error:
        raise SetupError(f"cannot read {file}: {error.strerror}", remedy=_REMEDY) from None
    except UnicodeDecodeError:
        raise SetupError(f"{file} is not a text file", remedy=_REMEDY) from None
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    for name in names:
        if not _HOST.fullmatch(name):
            raise SetupError(f"{file}: {name[:_MOST_SHOWN]!r} is not a host", remedy=_REMEDY)
    if not names:
        raise SetupError(f"{file} lists no hosts", remedy=_REMEDY)
    return tuple(names)


def arrange_hosts(names: Sequence[str]) -> tuple[Host, ...]:
    """Return the ranks of hosts, in order; rank 0 is on the first line that names this machine.

    Raises:
        SetupError: No line names this machine.
    """
    here = [name for name in names if _is_here(name)]
    if not here:
        raise SetupError(
            "none of the hosts is this machine, which runs rank 0 and keeps the checkpoints",
            remedy="Add this machine to the file, as the other hosts reach it, or start the "
            "command on one of the listed hosts.",
        )
    order = list(names)
    order.remove(here[0])
    order.insert(0, here[0])
    machines = ["" if name in here else name.rpartition("@")[2] for name in order]
    sizes, seen = Counter(machines), Counter[str]()
    hosts = []
    for number, (name, machine) in enumerate(zip(order, machines)):
        rank = Rank(number, len(order), seen[machine], sizes[machine], "--hosts")
        hosts.append(Host(name, rank))
        seen[machine] += 1
    return tuple(hosts)


def _is_here(name: str) -> bool:
    # A name that only the configuration of ssh knows belongs to another machine.
    with contextlib.suppress(SetupError):
        return any(map(is_local_address, resolve(name.rpartition("@")[2])))
    return False


def find_rendezvous(hosts: Sequence[Host], given: str | None) -> Rendezvous:
    """Return where rank 0 listens.

    Args:
        hosts: the ranks and their hosts, in order.
        given: value of ``--rendezvous``.

    Raises:
        SetupError: The other hosts cannot reach rank 0 there.
    """
    host, port = parse_rendezvous(given) if given else (hosts[0].address, DEFAULT_PORT)
    elsewhere = [other.name for other in hosts if not _is_here(other.name)]
    if elsewhere and all(address.startswith("127.") for address in resolve(host)):
        raise SetupError(
            f"{elsewhere[0]} cannot reach this machine as {host}, which is a loopback address",
            remedy="List this machine by its network address, or pass --rendezvous HOST.",
        )
    return Rendezvous((host,), port, "--rendezvous" if given else "the file of hosts")
