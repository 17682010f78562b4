"""Hosts that are network namespaces of this machine, joined by a bridge; for root on Linux."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.launched import descendants, until

# By default Open MPI waits minutes for a host that says nothing; documented in docs/cluster.md.
KEEPALIVE = {"time": "5", "intvl": "3", "probes": "2"}


def lacking() -> str | None:
    """Return why this machine can't have such hosts; None if it can."""
    if os.geteuid():
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need ip: apt-get install iproute2"
    trial = f"mfn-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, check=False)
    if made.returncode:
        return f"this machine has no network namespaces: {made.stderr.decode().strip()}"
    _ip("netns", "delete", trial)
    return None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# Who is reached refuses, for nobody listens there.
_REACH = """
import errno, socket, sys
trial = socket.socket()
trial.settimeout(1)
sys.exit(trial.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)
"""


class Network:
    """Hosts with a network namespace and a name each, and a switch that joins them.

    Args:
        names: Of the hosts.
        folder: For the program that starts others on them.

    Attributes:
        addresses: Of the hosts, by name.
        agent: A program that is called as ssh is: host, then a command.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._prefix = f"mfn{os.getpid()}"
        self._switch = f"{self._prefix}-switch"
        self.addresses = {name: f"10.91.7.{n}" for n, name in enumerate(names, 1)}
        cases = [f"{address}|{name}) host={name};;" for name, address in self.addresses.items()]
        self.agent = folder / "agent"
        # Open MPI and ssh alike hand over one string or several, which the shell there joins.
        self.agent.write_text(
            "#!/bin/sh\n"
            "while [ $# -gt 0 ]; do case $1 in -o) shift 2;; -*) shift;; *) break;; esac; done\n"
            f'case "$1" in {" ".join(cases)} *) echo "no host $1" >&2; exit 255;; esac\n'
            "shift\n"
            f'exec ip netns exec {self._prefix}-$host unshare --uts sh -c "hostname $host; $*"\n'
        )
        self.agent.chmod(0o755)

    def namespace(self, name: str) -> str:
        """Return the namespace of a host."""
        return f"{self._prefix}-{name}"

    def __enter__(self) -> Network:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for name, address in self.addresses.items():
            space = self.namespace(name)
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
            end = ("peer", "name", "eth0", "netns", space)
            _ip("-n", self._switch, "link", "add", f"to-{name}", "type", "veth", *end)
            _ip("-n", self._switch, "link", "set", f"to-{name}", "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
        for name in self.addresses:
            self._wait_for(name)
        return self

    def __exit__(self, *_: object) -> None:
        for space in (*map(self.namespace, self.addresses), self._switch):
            subprocess.run(["ip", "netns", "delete", space], check=False)

    def on(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs another on a host."""
        return [str(self.agent), name, f"exec {shlex.join(command)}"]

    def set_link(self, name: str, state: str) -> None:
        """Pull a host's cable out of the switch (``down``), or put it back (``up``)."""
        _ip("-n", self._switch, "link", "set", f"to-{name}", state)
        if state == "up":
            self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        """Wait until a host and the others reach each other; Open MPI would give up at once."""
        others = set(self.addresses) - {name}
        pairs = [*((name, other) for other in others), *((other, name) for other in others)]
        assert until(lambda: all(self._reaches(*pair) for pair in pairs), 30)

    def _reaches(self, name: str, other: str) -> bool:
        inside = ["ip", "netns", "exec", self.namespace(name)]
        command = [*inside, sys.executable, "-c", _REACH, self.addresses[other]]
        return subprocess.run(command, check=False).returncode == 0

    def mpirun(self, command: Sequence[str], folder: Path, keepalive: Mapping[str, str]) -> Started:
        """Start a command on all hosts, by Open MPI on the first.

        Args:
            command: Program and arguments.
            folder: For its output.
            keepalive: How Open MPI looks whether hosts are still there.
        """
        hosts = ",".join(f"{address}:1" for address in self.addresses.values())
        options = ["--host", hosts, "--mca", "plm_rsh_agent", str(self.agent)]
        for name, value in keepalive.items():
            options += ["--mca", f"oob_tcp_keepalive_{name}", value]
        first = next(iter(self.addresses))
        return Started(self.on(first, ["mpirun.openmpi", *options, *command]), folder)


class Started:
    """A command with its output in a file.

    Args:
        command: Program and arguments.
        folder: For the file.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "mpirun.txt"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        """Return what it has printed so far."""
        return self._output.read_text(errors="replace")

    def kill(self) -> None:
        """End it, and all that it has started."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
