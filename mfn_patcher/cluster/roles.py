"""The processes that train on a host.

With MXNet these are a worker and a server for each rank, and a scheduler on rank 0, as MXNet's
parameter server requires. With PyTorch there are only workers, which exchange gradients with each
other.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfn_patcher.children import programs
from mfn_patcher.engine import MXNET

_ROLE_PREFIXES = ("DMLC_", "PS_")
_SETTLE_SECONDS = 15.0  # in which server and scheduler exit once all workers have


@dataclass(frozen=True)
class Layout:
    """Addresses and ports of the processes of a job.

    Attributes:
        lead_address: address of rank 0's host, at which the scheduler listens.
        port: port of the control connection there; the ports of the roles follow it.
        size: number of ranks, and so of workers.
        engine: name of the engine that trains.
    """

    lead_address: str
    port: int
    size: int
    engine: str = MXNET

    @property
    def meeting_port(self) -> int:
        """Port at which the processes find each other: of the scheduler, or of worker 0."""
        return self.port + 1

    def role_ports(self, local_rank: int) -> dict[str, int]:
        """Return the ports of MXNet's server and worker of a rank, by its number on its host."""
        return {"server": self.port + 2 + 2 * local_rank, "worker": self.port + 3 + 2 * local_rank}

    def ports(self, rank: int, local_rank: int) -> list[int]:
        """Return all ports of a rank's processes; 0 stands for one that the system chooses."""
        own = list(self.role_ports(local_rank).values()) if self.engine == MXNET else [0]
        return own if rank else [self.meeting_port, *own]

    def roles(self, rank: int) -> tuple[str, ...]:
        """Return the roles of a rank, in the order in which they start."""
        if self.engine != MXNET:
            return ("worker",)
        return ("server", "worker") if rank else ("scheduler", "server", "worker")

    def variables(self, role: str, rank: int, local_rank: int, address: str) -> dict[str, str]:
        """Return the environment variables that tell a process its role.

        Args:
            role: name of the role.
            rank: the rank.
            local_rank: its number among the ranks of its host.
            address: address of its host, as rank 0 sees it.
        """
        variables = {
            "DMLC_ROLE": role,
            "DMLC_PS_ROOT_URI": self.lead_address,
            "DMLC_PS_ROOT_PORT": str(self.meeting_port),
            "DMLC_NUM_WORKER": str(self.size),
            "DMLC_NUM_SERVER": str(self.size if self.engine == MXNET else 0),
            "DMLC_NODE_HOST": address,
        }
        if self.engine == MXNET and role != "scheduler":
            # ps-lite listens at this port; without the variable it would choose one at random.
            variables["PORT"] = str(self.role_ports(local_rank)[role])
        if role == "worker":
            # The script shares out images and saves by this number. MXNet assigns new ranks of its
            # own at each start.
            variables["DMLC_WORKER_ID"] = str(rank)
        else:
            # Scheduler and server add on the CPU, and must not take GPU memory.
            variables["CUDA_VISIBLE_DEVICES"] = ""
        return variables


def without_role_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without variables that would give a process another role or port."""
    return {
        name: value
        for name, value in environment.items()
        if name != "PORT" and not name.startswith(_ROLE_PREFIXES)
    }


def server_command(python: str) -> tuple[str, ...]:
    """Return the command of a scheduler or server, which does all its work on import of MXNet."""
    return (python, "-c", "import mxnet")


def bound_command(command: Sequence[str], python: str) -> tuple[str, ...]:
    """Return a command that does the same as another, in a process that dies with this one."""
    return (*programs.command(python, "bound", str(os.getpid())), *command)


def shell_line(variables: Mapping[str, str], command: Sequence[str]) -> str:
    """Return environment variables and a command as a line for a shell."""
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*words, shlex.join(command)])


def describe_status(status: int) -> str:
    """Return how a process ended, for messages."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def process_state(pid: int) -> str:
    """Return the state of a process as ``ps`` shows it, such as S or T; empty if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


class ServerProcesses:
    """The processes of a rank other than its worker: its server and, on rank 0, the scheduler.

    Args:
        command: command of each of them.
        environments: environment of each role.
        folder: where their logs are written.
    """

    def __init__(
        self,
        command: Sequence[str],
        environments: Mapping[str, Mapping[str, str]],
        folder: Path,
    ) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for role, environment in environments.items():
            with (folder / f"{role}.log").open("ab") as log:
                self._running[role] = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def failed(self) -> tuple[str, int] | None:
        """Return role and exit status of a process that failed; None if none did."""
        for role, process in self._running.items():
            if process.poll():
                return role, int(process.returncode)
        return None

    def states(self) -> dict[str, str]:
        """Return the state of each process."""
        return {role: process_state(process.pid) for role, process in self._running.items()}

    def settle(self) -> None:
        """Wait a while until they exit, as they do once all workers have."""
        end = time.monotonic() + _SETTLE_SECONDS
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, end - time.monotonic()))

    def kill(self) -> None:
        """Kill those that still run."""
        for process in self._running.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
