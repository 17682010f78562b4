from __future__ import annotations

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.ranks import Rank, detect

OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
# As set by mpirun of MPICH 4.0 and by srun of Slurm 22.05.
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
    ("environment", "rank"),
    [
        (OPEN_MPI, Rank(3, 4, 1, 2, "Open MPI")),
        (MPICH, Rank(1, 4, 1, 4, "MPICH")),
        (SLURM, Rank(4, 6, 0, 1, "Slurm")),
        # An MPI in a job of Slurm, whose variables belong to the shell that ran mpirun.
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "1", **OPEN_MPI}, Rank(3, 4, 1, 2, "Open MPI")),
        ({"MFN_PATCH_RANK": "0", "MFN_PATCH_RANKS": "2"}, Rank(0, 2, 0, 1, "the launcher")),
    ],
)
def test_reads_the_variables_of_each_launcher(environment: dict[str, str], rank: Rank) -> None:
    assert detect(environment) == rank


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "found no launcher"),
        # A shell in a batch job is not a rank.
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}, "found no launcher"),
        (
            {**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "many"},
            "OMPI_COMM_WORLD_SIZE must be a number, not 'many'",
        ),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "4"}, "rank 4 of 4"),
    ],
)
def test_missing_and_invalid_variables(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(SetupError, match=reason) as error:
        detect(environment)
    assert "mpirun" in error.value.remedy
