from __future__ import annotations

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import (
    DEFAULT_PORT,
    Place,
    addresses,
    detect,
    find_root,
    first_node,
    is_own,
    parse_root,
)

OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
# As they were seen: mpirun of MPICH 4.0 and srun of Slurm 22.05.
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"}
SLURM = {
    "SLURM_PROCID": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1,1",
    "SLURM_STEP_NODELIST": "gpu[03-05,9]",
}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        (OPEN_MPI, Place(3, 4, 1, 2, "Open MPI")),
        (MPICH, Place(1, 4, 1, 4, "MPICH")),
        (SLURM, Place(4, 6, 0, 1, "Slurm")),
        # An MPI in a job of Slurm, whose own variables are of the shell that ran mpirun.
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "1", **OPEN_MPI}, Place(3, 4, 1, 2, "Open MPI")),
        ({"MFN_PATCH_RANK": "0", "MFN_PATCH_RANKS": "2"}, Place(0, 2, 0, 1, "MFN_PATCH_RANK")),
    ],
)
def test_the_launcher_says_which_rank(environment: dict[str, str], place: Place) -> None:
    assert detect(environment) == place


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "no launcher"),
        # A shell in a batch job is no rank.
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}, "no launcher"),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "many"}, "OMPI_COMM_WORLD_SIZE is 'many'"),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "4"}, "rank 4 of 4"),
    ],
)
def test_without_a_rank(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(SetupError, match=reason) as error:
        detect(environment)
    assert "mpirun" in error.value.remedy


def test_where_rank_0_is() -> None:
    several = Place(0, 4, 0, 1, "Open MPI")
    uri = {"OMPI_MCA_orte_hnp_uri": "17.0;tcp://192.0.2.2,10.0.0.7:38937;tcp6://[fd00::2]:38159"}
    assert find_root(several, uri).hosts == ("192.0.2.2", "10.0.0.7")
    assert find_root(several, uri, "node7:2000").hosts == ("node7",)
    assert find_root(several, uri, "node7:2000").port == 2000
    assert find_root(Place(0, 4, 0, 4, "MPICH"), {}).hosts == ("127.0.0.1",)
    assert find_root(Place(0, 4, 0, 1, "Slurm"), SLURM).hosts == ("gpu03",)
    with pytest.raises(SetupError) as error:
        find_root(Place(0, 4, 0, 2, "MPICH"), {})
    assert "--rendezvous HOST" in error.value.remedy


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("c", "c"), ("a-1,b", "a-1"), ("n[07-12]", "n07"), ("r[1,4]n[2-3]x,z", "r1n2x")],
)
def test_slurms_list_of_nodes(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


@pytest.mark.parametrize("text", ["", ":1", "h:", "h:x", "h:80", "h:70000", "-x", "$(x):2000"])
def test_what_is_no_root(text: str) -> None:
    with pytest.raises(SetupError, match="is not HOST or HOST:PORT"):
        parse_root(text)


def test_addresses() -> None:
    assert parse_root("h") == ("h", DEFAULT_PORT)
    assert addresses("127.0.0.1") == ["127.0.0.1"]
    with pytest.raises(SetupError, match="no IPv4 address"):
        addresses("no-such-host.invalid")
    assert is_own("127.0.0.1")
    assert not is_own("198.51.100.77")
