"""Hosts that are network namespaces of this machine, connected by a bridge; requires root."""

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

from tests.support.launched import descendants, wait_until

# By default Open MPI waits for a silent host for minutes; docs/cluster.md has these options, too.
KEEPALIVE = {"time": "5", "intvl": "3", "probes": "2"}


def unavailable() -> str | None:
    """Return why this machine cannot have such hosts; None if it can."""
    if os.geteuid():
        return "network namespaces require root"
    if not shutil.which("ip"):
        return "network namespaces require ip: apt-get install iproute2"
    trial = f"mfn-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, check=False)
    if made.returncode:
        return f"this machine has no network namespaces: {made.stderr.decode().strip()}"
    _ip("netns", "delete", trial)
    return None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# A host that is reached refuses the connection, because nothing listens at that port.
_REACH = """
import errno, socket, sys
trial = socket.socket()
trial.settimeout(1)
sys.exit(trial.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)
"""


class Network:
    """Hosts with a network namespace and a name each, and a switch that connects them.

    Args:
        names: names of the hosts.
        folder: where the program that runs commands on them is written.

    Attributes:
        addresses: address of each host, by name.
        agent: program that is called like ssh: with a host, then a command.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._prefix = f"mfn{os.getpid()}"
        self._switch = f"{self._prefix}-switch"
        self.addresses = {name: f"10.91.7.{n}" for n, name in enumerate(names, 1)}
        cases = [f"{address}|{name}) host={name};;" for name, address in self.addresses.items()]
        self.agent = folder / "agent"
        # Like ssh, it takes the command as one or several arguments, which the shell there joins.
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
        """Return a command that runs `command` on a host."""
        return [str(self.agent), name, f"exec {shlex.join(command)}"]

    def set_link(self, name: str, state: str) -> None:
        """Disconnect a host from the switch (``down``), or connect it again (``up``)."""
        _ip("-n", self._switch, "link", "set", f"to-{name}", state)
        if state == "up":
            self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        """Wait until a host and all others reach each other, which Open MPI does not wait for."""
        others = set(self.addresses) - {name}
        pairs = [*((name, other) for other in others), *((other, name) for other in others)]
        assert wait_until(lambda: all(self._reaches(*pair) for pair in pairs), 30)

    def _reaches(self, name: str, other: str) -> bool:
        inside = ["ip", "netns", "exec", self.namespace(name)]
        command = [*inside, sys.executable, "-c", _REACH, self.addresses[other]]
        return subprocess.run(command, check=False).returncode == 0

    def mpirun(self, command: Sequence[str], folder: Path, keepalive: Mapping[str, str]) -> Started:
        """Start a command on all hosts with Open MPI, from the first host.

        Args:
            command: program and arguments.
            folder: where its output is written.
            keepalive: options with which Open MPI detects lost hosts.
        """
        hosts = ",".join(f"{address}:1" for address in self.addresses.values())
        options = ["--host", hosts, "--mca", "plm_rsh_agent", str(self.agent)]
        for name, value in keepalive.items():
            options += ["--mca", f"oob_tcp_keepalive_{name}", value]
        first = next(iter(self.addresses))
        return Started(self.on(first, ["mpirun.openmpi", *options, *command]), folder)


class Started:
    """A command whose output goes to a file.

    Args:
        command: program and arguments.
        folder: where the file is written.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "mpirun.txt"
        with self._file.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def output(self) -> str:
        """Return what the command has printed so far."""
        return self._file.read_text(errors="replace")

    def kill(self) -> None:
        """Kill the command and all processes that it started."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
