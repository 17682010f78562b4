from __future__ import annotations

from pathlib import Path

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.hosts import arrange_hosts, find_rendezvous, read_hosts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_reads_a_file_of_hosts(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "hosts"
    text = "# ours\nlocalhost\n\n  me@198.51.100.2  # the new one\n198.51.100.3\n"
    file.write_text(text, encoding=encoding)
    assert read_hosts(file) == ("localhost", "me@198.51.100.2", "198.51.100.3")


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
def test_rejects_files_without_valid_hosts(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(SetupError, match=r"lists no hosts|is not a host"):
        read_hosts(tmp_path / "hosts")
    with pytest.raises(SetupError, match=r"cannot read .*none: No such file or directory$"):
        read_hosts(tmp_path / "none")


@pytest.mark.parametrize("content", [bytes(100_000), b"\xffELF" * 30_000])
def test_a_file_that_is_not_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hosts").write_bytes(content)
    with pytest.raises(SetupError) as raised:
        read_hosts(tmp_path / "hosts")
    assert len(str(raised.value)) < len(str(tmp_path)) + 300


def test_rank_0_runs_on_this_machine() -> None:
    names = (
        "me@198.51.100.2",
        "localhost",
        "alias-of-ssh-only.invalid",
        "198.51.100.2",
        "127.0.0.1",
    )
    hosts = arrange_hosts(names)
    assert [host.name for host in hosts] == [
        "localhost",
        "me@198.51.100.2",
        "alias-of-ssh-only.invalid",
        "198.51.100.2",
        "127.0.0.1",
    ]
    ranks = [(host.rank.number, host.rank.local_rank, host.rank.local_size) for host in hosts]
    assert ranks == [(0, 0, 2), (1, 0, 2), (2, 0, 1), (3, 1, 2), (4, 1, 2)]
    with pytest.raises(SetupError, match="none of the hosts is this machine"):
        arrange_hosts(("198.51.100.2",))


def test_other_hosts_can_reach_the_rendezvous() -> None:
    here = arrange_hosts(("localhost", "localhost"))
    assert find_rendezvous(here, None).hosts == ("localhost",)
    with pytest.raises(SetupError, match=r"198\.51\.100\.2 cannot reach this machine as localhost"):
        find_rendezvous(arrange_hosts(("localhost", "198.51.100.2")), None)
    assert (
        find_rendezvous(arrange_hosts(("localhost", "198.51.100.2")), "198.51.100.9:2000").port
        == 2000
    )
