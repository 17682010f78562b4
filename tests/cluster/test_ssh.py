from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.hosts import Host
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.cluster.ssh import SshProcesses, ssh_command


def test_ssh_command(tmp_path: Path) -> None:
    host = Host("me@198.51.100.2", Rank(1, 2, 0, 1, "--hosts"))
    environment = {"MFN_PATCH_WORKSPACE": "/a b", "HOME": "/root", "OMP_NUM_THREADS": "2"}
    environment["NCCL_SOCKET_IFNAME"] = "ib0"
    environment["MFN_PATCH_UPSTREAM"] = "https://bob:s3cret@host/x.git"
    arguments = ["train", "--stage", "3", "--data-dir", "$(x)", "--", "--lr", "0.2"]
    rendezvous = Rendezvous(("198.51.100.1",), 29112, "the hosts' file")
    *options, line = ssh_command(host, arguments, rendezvous, tmp_path, environment)
    assert options[0] == "ssh"
    assert options[-2:] == ["--", "me@198.51.100.2"]
    assert "BatchMode=yes" in options
    assert shlex.split(line) == [
        *("cd", str(tmp_path), "&&", "exec", "env"),
        *("MFN_PATCH_LOCAL_RANK=0", "MFN_PATCH_LOCAL_RANKS=1", "MFN_PATCH_RANK=1"),
        *("MFN_PATCH_RANKS=2", "MFN_PATCH_WORKSPACE=/a b", "NCCL_SOCKET_IFNAME=ib0"),
        "OMP_NUM_THREADS=2",
        *(sys.executable, "-m", "mfn_patcher", "train", "--cluster"),
        *("--rendezvous", "198.51.100.1:29112", *arguments[1:]),
    ]


def test_a_host_that_ssh_does_not_reach() -> None:
    false = [sys.executable, "-c", "raise SystemExit(255)", "c", "line"]
    with SshProcesses({1: false}) as others:
        others._running[1].wait()
        assert others.failure() == "cannot start rank 1: ssh c exited with status 255"
    with (
        pytest.raises(SetupError, match="ssh is not installed"),
        SshProcesses({1: ["/no/ssh", "c", "line"]}),
    ):
        pass


def test_what_other_ranks_say_is_shown_safely(capsys: pytest.CaptureFixture[str]) -> None:
    says = "import sys; print('rank 1: joined\\x1b[2J'); print('late', file=sys.stderr)"
    with SshProcesses({1: [sys.executable, "-c", says, "c", "line"]}) as others:
        others._running[1].wait()
    shown = capsys.readouterr().err
    assert "rank 1: joined\\x1b[2J\n" in shown
    assert "late\n" in shown
