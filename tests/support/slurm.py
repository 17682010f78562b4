"""A real Slurm of one node, with its own keys, ports and folders; requires root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.support.launched import free_port, wait_until

_PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sinfo")


def unavailable() -> str | None:
    """Return why Slurm cannot be started here; None if it can."""
    if not all(map(shutil.which, _PROGRAMS)):
        return "Slurm is not installed: apt-get install slurmctld slurmd slurm-client munge"
    return "starting Slurm requires root" if os.geteuid() else None


class Slurm:
    """The daemons of Slurm, which run inside the context.

    Args:
        folder: folder for all their files.

    Attributes:
        environment: environment for commands of Slurm.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        host = socket.gethostname().partition(".")[0]
        ports = free_port(), free_port()
        configuration = folder / "slurm.conf"
        configuration.write_text(
            f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={ports[0]}\n"
            f"SlurmdPort={ports[1]}\nAuthType=auth/munge\nCryptoType=crypto/munge\n"
            f"AuthInfo=socket={folder / 'munge.socket'}\nSlurmUser=root\nSlurmdUser=root\n"
            f"StateSaveLocation={folder / 'state'}\nSlurmdSpoolDir={folder / 'spool'}\n"
            f"SlurmctldPidFile={folder / 'slurmctld.pid'}\nSlurmdPidFile={folder / 'slurmd.pid'}\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n"
            "JobAcctGatherType=jobacct_gather/none\nSelectType=select/cons_tres\n"
            "SelectTypeParameters=CR_Core\n"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
            "PartitionName=all Nodes=ALL Default=YES State=UP\n"
        )
        self.environment = {**os.environ, "SLURM_CONF": str(configuration)}
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        place = self._folder
        munged = ["munged", "--foreground", "--force", f"--key-file={place / 'munge.key'}"]
        munged += [f"--{name}-file={place / f'munge.{name}'}" for name in ("pid", "seed", "log")]
        self._start(*munged, f"--socket={place / 'munge.socket'}")
        assert wait_until((place / "munge.socket").exists, 10), self._logs()
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        assert wait_until(self._is_idle, 30), self._logs()
        return self

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.txt").open("wb") as output:
            self._running.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
                )
            )

    def _is_idle(self) -> bool:
        command = ["sinfo", "--noheader", "--format=%T"]
        asked = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        return asked.stdout.strip() == b"idle"

    def _logs(self) -> str:
        return "\n".join(path.read_text() for path in self._folder.glob("*.txt"))

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.terminate()
            process.wait()
