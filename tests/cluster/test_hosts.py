from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.hosts import Host, Others, arrange, find_root, read, ssh_command
from mfn_patcher.cluster.ranks import Place, Root


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_hosts(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "hosts"
    text = "# ours\nlocalhost\n\n  me@198.51.100.2  # the new one\n198.51.100.3\n"
    file.write_text(text, encoding=encoding)
    assert read(file) == ("localhost", "me@198.51.100.2", "198.51.100.3")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none\n",
        "-oProxyCommand=x\n",
        "a b\n",
        "a;b c\n",
        "a;b\n",
        "me@-oX=y\n",
        "-l@h\n",
        "$(x)@h\n",
    ],
)
def test_what_is_no_file_of_hosts(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(SetupError, match=r"names no host|is no host"):
        read(tmp_path / "hosts")
    with pytest.raises(SetupError, match="can't be read"):
        read(tmp_path / "none")


def test_rank_0_is_here() -> None:
    names = (
        "me@198.51.100.2",
        "localhost",
        "alias-of-ssh-only.invalid",
        "198.51.100.2",
        "127.0.0.1",
    )
    hosts = arrange(names)
    assert [host.name for host in hosts] == [
        "localhost",
        "me@198.51.100.2",
        "alias-of-ssh-only.invalid",
        "198.51.100.2",
        "127.0.0.1",
    ]
    places = [(host.place.rank, host.place.local_rank, host.place.local_size) for host in hosts]
    assert places == [(0, 0, 2), (1, 0, 2), (2, 0, 1), (3, 1, 2), (4, 1, 2)]
    with pytest.raises(SetupError, match="none of the hosts is this machine"):
        arrange(("198.51.100.2",))


def test_the_root_is_where_others_reach_it() -> None:
    here = arrange(("localhost", "localhost"))
    assert find_root(here, None).hosts == ("localhost",)
    with pytest.raises(SetupError, match=r"and 198\.51\.100\.2 can't reach it"):
        find_root(arrange(("localhost", "198.51.100.2")), None)
    assert find_root(arrange(("localhost", "198.51.100.2")), "198.51.100.9:2000").port == 2000


def test_what_ssh_is_told(tmp_path: Path) -> None:
    host = Host("me@198.51.100.2", Place(1, 2, 0, 1, "--hosts"))
    environment = {"MFN_PATCH_WORKSPACE": "/a b", "HOME": "/root", "OMP_NUM_THREADS": "2"}
    environment["MFN_PATCH_UPSTREAM"] = "https://bob:s3cret@host/x.git"
    arguments = ["train", "--stage", "3", "--data-dir", "$(x)", "--", "--lr", "0.2"]
    root = Root(("198.51.100.1",), 29112, "the hosts' file")
    *options, line = ssh_command(host, arguments, root, tmp_path, environment)
    assert options[0] == "ssh"
    assert options[-2:] == ["--", "me@198.51.100.2"]
    assert "BatchMode=yes" in options
    assert shlex.split(line) == [
        *("cd", str(tmp_path), "&&", "exec", "env"),
        *("MFN_PATCH_LOCAL_RANK=0", "MFN_PATCH_LOCAL_RANKS=1", "MFN_PATCH_RANK=1"),
        *("MFN_PATCH_RANKS=2", "MFN_PATCH_WORKSPACE=/a b", "OMP_NUM_THREADS=2"),
        *(sys.executable, "-m", "mfn_patcher", "train", "--cluster"),
        *("--rendezvous", "198.51.100.1:29112", *arguments[1:]),
    ]


def test_a_host_that_ssh_does_not_reach() -> None:
    false = [sys.executable, "-c", "raise SystemExit(255)", "c", "line"]
    with Others({1: false}) as others:
        others._running[1].wait()
        assert others.failed() == "rank 1 was not started: ssh c ended with 255"
    with pytest.raises(SetupError, match="there is no ssh"), Others({1: ["/no/ssh", "c", "line"]}):
        pass
