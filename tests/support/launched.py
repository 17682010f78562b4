"""Ranks of a command on this machine, started as a launcher starts them, and their processes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TOOL = (sys.executable, "-m", "mfn_patcher")


def free_port() -> int:
    """Return the first of ten free ports in a row, outside the range of automatic ports."""
    for first in random.sample(range(20000, 32000, 10), 100):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 10):
                    stack.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
            return first
    raise AssertionError("no ten ports in a row are free")


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def descendants(pid: int) -> list[int]:
    """Return the child processes of a process, their children, and so on."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def variable(pid: int, name: str) -> str | None:
    """Return an environment variable of a process."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    found = dict(entry.partition(b"=")[::2] for entry in entries).get(name.encode())
    return None if found is None else found.decode()


def rank_of(pid: int) -> str | None:
    """Return the rank of a process of the tool that Open MPI started; None for any other."""
    has_role = variable(pid, "DMLC_ROLE") is not None
    return None if has_role else variable(pid, "OMPI_COMM_WORLD_RANK")


def is_alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], object], seconds: float = 90) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


class Launched:
    """Ranks of one command, all on this machine, started with the variables of Open MPI.

    Args:
        arguments: arguments of ``mfn-patch``.
        size: number of ranks.
        folder: where their output is written.
    """

    def __init__(self, arguments: Sequence[str | Path], size: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.outputs = [folder / f"rank-{rank}.txt" for rank in range(size)]
        self.tools = []
        for rank, output in enumerate(self.outputs):
            numbers = {"RANK": rank, "SIZE": size, "LOCAL_RANK": rank, "LOCAL_SIZE": size}
            ompi = {f"OMPI_COMM_WORLD_{name}": str(number) for name, number in numbers.items()}
            with output.open("wb") as file:
                self.tools.append(
                    subprocess.Popen(
                        [*TOOL, *map(str, arguments)],
                        # The tool must remove these, which would change the roles of MXNet.
                        env={**os.environ, **ompi, "PORT": "80", "DMLC_ROLE": "server"},
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
        self.seen: set[int] = set()

    def process(self, rank: int, role: str) -> int:
        """Return the process id of a role, once it has started."""
        found: list[int] = []

        def look() -> bool:
            now = children(self.tools[rank].pid)
            self.seen |= set(now)
            found[:] = [pid for pid in now if variable(pid, "DMLC_ROLE") == role]
            return bool(found)

        assert wait_until(look), self.output(rank)
        return found[0]

    def output(self, rank: int) -> str:
        """Return what a rank has printed so far."""
        return self.outputs[rank].read_text(errors="replace")

    def wait(self, seconds: float) -> list[int]:
        """Return the exit codes once all ranks have ended, and check that no process is left."""
        end = time.monotonic() + seconds
        for tool in self.tools:
            self.seen |= set(children(tool.pid))
        try:
            codes = [tool.wait(max(0.1, end - time.monotonic())) for tool in self.tools]
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("\n".join(map(self.output, range(len(self.tools))))) from None
        assert wait_until(lambda: not any(map(is_alive, self.seen)), 5), "a process is left"
        return codes

    def kill(self) -> None:
        """Kill the ranks that still run."""
        for tool in self.tools:
            tool.poll()
            if tool.returncode is None:
                tool.send_signal(signal.SIGCONT)
                tool.kill()
                tool.wait()
