"""A real sshd on loopback with its own keys, and the real ssh, configured for it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.support.launched import descendants, free_port, wait_until

_SSHD = "/usr/sbin/sshd"
# As root, sshd requires a folder that its service creates. It gets one that no other process sees.
_OWN_RUN = ["unshare", "--mount", "sh", "-c"]
_OWN_RUN += ['mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" "$@"']


def unavailable() -> str | None:
    """Return why sshd cannot be started here; None if it can."""
    if not (shutil.which(_SSHD) and shutil.which("ssh")):
        return "ssh is not installed: apt-get install openssh-server openssh-client"
    return None


class Sshd:
    """The server, which runs inside the context.

    Args:
        folder: folder for keys and configuration.

    Attributes:
        path: folder with an ``ssh`` that uses them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "bin"
        self.path.mkdir()
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        self.port = free_port()
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\n"
            f"AuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nPidFile none\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\n"
        )
        (folder / "ssh_config").write_text(
            f"Port {self.port}\nUser {getpass.getuser()}\nIdentityFile {folder / 'user'}\n"
            f"UserKnownHostsFile {folder / 'known'}\nStrictHostKeyChecking accept-new\n"
            "LogLevel ERROR\n"
        )
        # ssh cannot be configured by environment variables.
        client = self.path / "ssh"
        client.write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "ssh_config"} "$@"\n'
        )
        client.chmod(0o755)
        self._folder = folder

    def __enter__(self) -> Sshd:
        command = [_SSHD, "-D", "-e", "-f", str(self._folder / "sshd_config")]
        if os.geteuid() == 0:
            command = [*_OWN_RUN, *command]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log)
        assert wait_until(self._answers, 10), (self._folder / "log").read_text()
        return self

    def _answers(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self, module: str) -> list[int]:
        """Return the processes under the server that run a Python module."""
        return [
            pid
            for pid in descendants(self._process.pid)
            if f"-m\0{module}\0" in Path(f"/proc/{pid}/cmdline").read_text()
        ]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
