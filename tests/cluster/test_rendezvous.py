from __future__ import annotations

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import Rank
from mfn_patcher.cluster.rendezvous import (
    DEFAULT_PORT,
    find_rendezvous,
    first_node,
    is_local_address,
    parse_rendezvous,
    resolve,
)


def test_finds_the_host_of_rank_0() -> None:
    several = Rank(0, 4, 0, 1, "Open MPI")
    uri = {"OMPI_MCA_orte_hnp_uri": "17.0;tcp://192.0.2.2,10.0.0.7:38937;tcp6://[fd00::2]:38159"}
    assert find_rendezvous(several, uri).hosts == ("192.0.2.2", "10.0.0.7")
    assert find_rendezvous(several, uri, "node7:2000").hosts == ("node7",)
    assert find_rendezvous(several, uri, "node7:2000").port == 2000
    assert find_rendezvous(Rank(0, 4, 0, 4, "MPICH"), {}).hosts == ("127.0.0.1",)
    slurm = {"SLURM_STEP_NODELIST": "gpu[03-05,9]"}
    assert find_rendezvous(Rank(0, 4, 0, 1, "Slurm"), slurm).hosts == ("gpu03",)
    with pytest.raises(SetupError) as error:
        find_rendezvous(Rank(0, 4, 0, 2, "MPICH"), {})
    assert "--rendezvous HOST" in error.value.remedy


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("c", "c"), ("a-1,b", "a-1"), ("n[07-12]", "n07"), ("r[1,4]n[2-3]x,z", "r1n2x")],
)
def test_first_node_of_a_slurm_list(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


@pytest.mark.parametrize("text", ["", ":1", "h:", "h:x", "h:80", "h:70000", "-x", "$(x):2000"])
def test_rejects_an_invalid_rendezvous(text: str) -> None:
    with pytest.raises(SetupError, match="is not HOST or HOST:PORT"):
        parse_rendezvous(text)


def test_addresses() -> None:
    assert parse_rendezvous("h") == ("h", DEFAULT_PORT)
    assert resolve("127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(SetupError, match="no IPv4 address"):
        resolve("no-such-host.invalid")
    assert is_local_address("127.0.0.1")
    assert not is_local_address("198.51.100.77")
