"""Starting the ranks on other hosts by ssh."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.hosts import Host
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.ranks import OWN_VARIABLES
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.printable import visible

# Variables that mean the same on every host. A login by ssh sets none of them.
_PASSED = ("MFN_PATCH_", "MXNET_", "OMP_", "GOMP_", "GLOO_", "NCCL_")
# An address may hold a password, and every user can read a command line. No rank fetches anything.
_NOT_PASSED = ("MFN_PATCH_UPSTREAM",)
_EXIT_SECONDS = 5


def ssh_command(
    host: Host,
    arguments: Sequence[str],
    rendezvous: Rendezvous,
    folder: Path,
    environment: Mapping[str, str],
) -> tuple[str, ...]:
    """Return the command that starts a rank on its host.

    Args:
        host: the host and its rank.
        arguments: arguments of ``mfn-patch``, without ``--hosts``.
        rendezvous: where rank 0 listens.
        folder: working directory on every host.
        environment: environment variables of this process.
    """
    rank = host.rank
    numbers = (rank.number, rank.size, rank.local_rank, rank.local_size)
    variables = {
        name: value
        for name, value in environment.items()
        if (name.startswith(_PASSED) and name not in _NOT_PASSED) or name == "CUDA_VISIBLE_DEVICES"
    }
    variables |= {name: str(number) for name, number in zip(OWN_VARIABLES, numbers)}
    command, *rest = arguments
    tool = [sys.executable, "-m", "mfn_patcher", command, "--cluster"]
    tool += ["--rendezvous", f"{rendezvous.hosts[0]}:{rendezvous.port}", *rest]
    set_variables = [f"{name}={value}" for name, value in sorted(variables.items())]
    line = f"cd {shlex.quote(str(folder))} && exec {shlex.join(['env', *set_variables, *tool])}"
    options = ("-n", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
    return ("ssh", *options, "--", host.name, line)


class SshProcesses:
    """The ssh processes that start the other ranks; leaving the context ends them.

    The end of ssh does not end the rank that it started; the loss of the connection to rank 0 does.

    Args:
        commands: ssh command of each rank; empty if a launcher starts all ranks.
    """

    def __init__(self, commands: Mapping[int, Sequence[str]]) -> None:
        self._commands = commands
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._relays: list[threading.Thread] = []

    def __enter__(self) -> SshProcesses:
        for rank, command in self._commands.items():
            try:
                started = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C on the terminal must reach only rank 0, which stops the other ranks.
                    start_new_session=True,
                )
            except FileNotFoundError:
                raise SetupError(
                    "ssh is not installed", remedy="Run `apt-get install openssh-client`."
                ) from None
            self._running[rank] = started
            self._relays.append(threading.Thread(target=_relay, args=(started,), daemon=True))
            self._relays[-1].start()
        return self

    def failure(self) -> str | None:
        """Return which rank could not be started; None if all could."""
        for rank, process in self._running.items():
            if process.poll():
                host = self._commands[rank][-2]
                return (
                    f"cannot start rank {rank}: ssh {host} exited with status {process.returncode}"
                )
        return None

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_EXIT_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()
        for relay in self._relays:
            relay.join(_EXIT_SECONDS)


def _relay(process: subprocess.Popen[bytes]) -> None:
    """Copy what ssh and its rank say to standard error, above the display if there is one."""
    for line in process.stdout or ():
        # The terminal may be gone, which is no reason to block the rank.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(visible(line.decode(errors="replace")))
            sys.stderr.flush()


def start_other_ranks(job: Job, arguments: Sequence[str]) -> SshProcesses:
    """Return what starts the ranks that no launcher starts.

    Args:
        job: how the command is spread over hosts.
        arguments: arguments of ``mfn-patch``, without ``--hosts``.
    """
    folder = Path.cwd()
    return SshProcesses(
        {
            host.rank.number: ssh_command(host, arguments, job.rendezvous, folder, os.environ)
            for host in job.hosts[1:]
        }
    )
