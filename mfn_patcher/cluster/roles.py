"""The processes of MXNet's parameter server on a host: scheduler, server and worker."""

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

_FOREIGN = ("DMLC_", "PS_")
_SETTLE = 15.0  # seconds in which server and scheduler follow the workers' end


@dataclass(frozen=True)
class Layout:
    """Where the processes of a training are.

    Attributes:
        root: Address of rank 0's host, at which the scheduler listens.
        port: Of the tool's control channel there; the roles' ports follow it.
        size: Number of ranks: of workers, and of servers.
    """

    root: str
    port: int
    size: int

    @property
    def scheduler_port(self) -> int:
        """Of the scheduler."""
        return self.port + 1

    def role_ports(self, local_rank: int) -> dict[str, int]:
        """Return the ports of server and worker of a rank, among the ranks of its host."""
        return {"server": self.port + 2 + 2 * local_rank, "worker": self.port + 3 + 2 * local_rank}

    def ports(self, rank: int, local_rank: int) -> list[int]:
        """Return all ports of a rank's roles."""
        own = list(self.role_ports(local_rank).values())
        return own if rank else [self.scheduler_port, *own]

    def roles(self, rank: int) -> tuple[str, ...]:
        """Return the roles of a rank, in the order to start them in."""
        return ("server", "worker") if rank else ("scheduler", "server", "worker")

    def variables(self, role: str, rank: int, local_rank: int, address: str) -> dict[str, str]:
        """Return the variables that tell a process its role.

        Args:
            role: Its name.
            rank: The tool's.
            local_rank: Among the ranks of its host.
            address: Of its host, as rank 0 sees it.
        """
        variables = {
            "DMLC_ROLE": role,
            "DMLC_PS_ROOT_URI": self.root,
            "DMLC_PS_ROOT_PORT": str(self.scheduler_port),
            "DMLC_NUM_WORKER": str(self.size),
            "DMLC_NUM_SERVER": str(self.size),
            "DMLC_NODE_HOST": address,
        }
        if role != "scheduler":
            # ps-lite takes this for the port to listen at; it would choose one at random.
            variables["PORT"] = str(self.role_ports(local_rank)[role])
        if role == "worker":
            # By this the script shares out images and saves; ranks of ps-lite change.
            variables["DMLC_WORKER_ID"] = str(rank)
        else:
            # They sum on the CPU, and must not take a GPU's memory.
            variables["CUDA_VISIBLE_DEVICES"] = ""
        return variables


def without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without variables that would give MXNet another role or port."""
    return {
        name: value
        for name, value in environment.items()
        if name != "PORT" and not name.startswith(_FOREIGN)
    }


def beside_worker(python: str) -> tuple[str, ...]:
    """Return the command of a scheduler and of a server: importing MXNet is their whole work."""
    return (python, "-c", "import mxnet")


def bound(command: Sequence[str], python: str) -> tuple[str, ...]:
    """Return a command that does the same, and whose process dies with this one."""
    return (*programs.command(python, "bound", str(os.getpid())), *command)


def shell_line(variables: Mapping[str, str], command: Sequence[str]) -> str:
    """Return a role's variables and command as a shell takes them."""
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*words, shlex.join(command)])


def describe(status: int) -> str:
    """Return how a process ended, for people."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"


def state(pid: int) -> str:
    """Return a process's state as ``ps`` has it, such as S or T; nothing if there is none."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


class Companions:
    """Scheduler and server of a rank while its worker is at work.

    Args:
        commands: Of each role.
        environments: Of each role.
        folder: For their logs.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        environments: Mapping[str, Mapping[str, str]],
        folder: Path,
    ) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for role, command in commands.items():
            with (folder / f"{role}.log").open("ab") as log:
                self._running[role] = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=dict(environments[role]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def failed(self) -> tuple[str, int] | None:
        """Return role and status of one that ended badly."""
        for role, process in self._running.items():
            if process.poll():
                return role, int(process.returncode)
        return None

    def states(self) -> dict[str, str]:
        """Return the state of each."""
        return {role: state(process.pid) for role, process in self._running.items()}

    def settle(self) -> None:
        """Wait for them to end by themselves, as they do after all workers."""
        end = time.monotonic() + _SETTLE
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, end - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """End those that are left."""
        for process in self._running.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
