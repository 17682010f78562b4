"""Hosts from a file, and the tool's other processes on them, started by ssh."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mfn_patcher import files
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import DEFAULT_PORT, OWN, Place, Root, addresses, is_own, parse_root
from mfn_patcher.encoding import decode

# Variables that mean the same on each host; a login by ssh has none of them.
_PASSED = ("MFN_PATCH_", "MXNET_", "OMP_")
# An address can hold a password, and everybody can read a command line; no rank fetches.
_KEPT_HERE = ("MFN_PATCH_UPSTREAM",)
# Nothing that ssh, or a ProxyCommand of the user's, could take for an option or a command.
_HOST = re.compile(r"(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9_][\w.:%-]*", re.ASCII)
_SECONDS = 5


@dataclass(frozen=True)
class Host:
    """A rank on a host.

    Attributes:
        name: As the file has it, with the user's name if that is given.
        place: Of the rank.
    """

    name: str
    place: Place

    @property
    def address(self) -> str:
        """Its name without the user's."""
        return self.name.rpartition("@")[2]


def read(file: Path) -> tuple[str, ...]:
    """Return the hosts that a file names, one a line; ``#`` begins a comment.

    Raises:
        SetupError: It names none, or what is no host.
    """
    try:
        lines = decode(files.read(file)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{file} can't be read: {error}") from None
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    for name in names:
        if not _HOST.fullmatch(name):
            raise SetupError(
                f"{file}: {name!r} is no host", remedy="Give one a line: HOST or USER@HOST."
            )
    if not names:
        raise SetupError(f"{file} names no host", remedy="Give one a line: HOST or USER@HOST.")
    return tuple(names)


def arrange(names: Sequence[str]) -> tuple[Host, ...]:
    """Return the ranks of hosts: 0 is here, at the first line that is this machine.

    Raises:
        SetupError: No line is.
    """
    here = [name for name in names if _is_here(name)]
    if not here:
        raise SetupError(
            "none of the hosts is this machine, where rank 0 runs and checkpoints are kept",
            remedy="Add it to the file, as the others reach it, or start on one of the hosts.",
        )
    order = list(names)
    order.remove(here[0])
    order.insert(0, here[0])
    machines = ["" if name in here else name.rpartition("@")[2] for name in order]
    sizes, seen = Counter(machines), Counter[str]()
    ranked = []
    for rank, (name, machine) in enumerate(zip(order, machines)):
        place = Place(rank, len(order), seen[machine], sizes[machine], "--hosts")
        ranked.append(Host(name, place))
        seen[machine] += 1
    return tuple(ranked)


def _is_here(name: str) -> bool:
    # A name that only ssh's configuration knows is another machine's.
    with contextlib.suppress(SetupError):
        return any(map(is_own, addresses(name.rpartition("@")[2])))
    return False


def find_root(hosts: Sequence[Host], given: str | None) -> Root:
    """Return where rank 0 listens.

    Raises:
        SetupError: The others could not reach it there.
    """
    host, port = parse_root(given) if given else (hosts[0].address, DEFAULT_PORT)
    elsewhere = [other.name for other in hosts if not _is_here(other.name)]
    if elsewhere and all(address.startswith("127.") for address in addresses(host)):
        raise SetupError(
            f"{host} is this machine for itself alone, and {elsewhere[0]} can't reach it by that",
            remedy="Give its address in the network in the file, or with --rendezvous HOST.",
        )
    return Root((host,), port, "--rendezvous" if given else "the hosts' file")


def ssh_command(
    host: Host, arguments: Sequence[str], root: Root, folder: Path, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the command that starts a rank on its host.

    Args:
        host: Of the rank.
        arguments: Of ``mfn-patch``, without ``--hosts``.
        root: Where rank 0 listens.
        folder: To run in, there as here.
        environment: This process's.
    """
    place = host.place
    numbers = (place.rank, place.size, place.local_rank, place.local_size)
    variables = {
        name: value
        for name, value in environment.items()
        if (name.startswith(_PASSED) and name not in _KEPT_HERE) or name == "CUDA_VISIBLE_DEVICES"
    }
    variables |= {name: str(number) for name, number in zip(OWN, numbers)}
    command, *rest = arguments
    tool = [sys.executable, "-m", "mfn_patcher", command, "--cluster"]
    tool += ["--rendezvous", f"{root.hosts[0]}:{root.port}", *rest]
    set_variables = [f"{name}={value}" for name, value in sorted(variables.items())]
    line = f"cd {shlex.quote(str(folder))} && exec {shlex.join(['env', *set_variables, *tool])}"
    options = ("-n", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
    return ("ssh", *options, "--", host.name, line)


class Others:
    """The ssh processes of all other ranks; leaving this ends them.

    That ssh ends does not end what it started: that the connection to rank 0 is lost does.

    Args:
        commands: By rank.
    """

    def __init__(self, commands: Mapping[int, Sequence[str]]) -> None:
        self._commands = commands
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Others:
        for rank, command in self._commands.items():
            try:
                self._running[rank] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr.fileno(),
                    # The terminal's Ctrl-C is for rank 0, which tells the others.
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise SetupError(
                    "there is no ssh", remedy="Install it: apt-get install openssh-client."
                ) from None
        return self

    def failed(self) -> str | None:
        """Return which rank could not be started."""
        for rank, process in self._running.items():
            if process.poll():
                host = self._commands[rank][-2]
                return f"rank {rank} was not started: ssh {host} ended with {process.returncode}"
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()
