"""The rank of this process, read from the launcher's environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mfn_patcher.cluster.errors import SetupError

OWN_VARIABLES = (
    "MFN_PATCH_RANK",
    "MFN_PATCH_RANKS",
    "MFN_PATCH_LOCAL_RANK",
    "MFN_PATCH_LOCAL_RANKS",
)
"""Rank, number of ranks, and the same two among the ranks of a host, for any other launcher."""

# Variables of each launcher: rank, size, local rank, local size. The order matters, because an MPI
# that is started in a job of Slurm sets its own variables in addition to Slurm's. A shell in a job
# of Slurm has none of SLURM_STEP_* and is not a rank.
_LAUNCHERS = {
    "the launcher": OWN_VARIABLES,
    "Open MPI": (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""),
}
_REQUIRED = {"Slurm": "SLURM_STEP_ID"}

_REMEDY = (
    "Start it as `mpirun -n 4 mfn-patch train ... --cluster` or `srun mfn-patch train ... "
    "--cluster`, or list the hosts in a file and pass --hosts FILE."
)


@dataclass(frozen=True)
class Rank:
    """One rank of a job.

    Attributes:
        number: the rank, from 0.
        size: number of ranks.
        local_rank: the rank among those on the same host, from 0.
        local_size: number of ranks on that host.
        launcher: whose variables define the rank.
    """

    number: int
    size: int
    local_rank: int
    local_size: int
    launcher: str

    def on(self, host: str) -> str:
        """Return the name of this rank in messages."""
        return rank_name(self.number, host)


def rank_name(number: int, host: str) -> str:
    """Return the name that messages use for a rank."""
    return f"rank {number} on {host}"


def detect(environment: Mapping[str, str]) -> Rank:
    """Return the rank of this process.

    Args:
        environment: the environment variables of the process.

    Raises:
        SetupError: No launcher set its variables, or their values are invalid.
    """
    for launcher, (number, size, local_rank, local_size) in _LAUNCHERS.items():
        if number not in environment or _REQUIRED.get(launcher, number) not in environment:
            continue
        rank = Rank(
            _number(environment, number),
            _number(environment, size),
            _number(environment, local_rank, "0"),
            _tasks_on_this_node(environment)
            if launcher == "Slurm"
            else _number(environment, local_size, "1"),
            launcher,
        )
        if not 0 <= rank.number < rank.size or not 0 <= rank.local_rank < rank.local_size:
            raise SetupError(
                f"rank {rank.number} of {rank.size}, {rank.local_rank} of {rank.local_size} on "
                f"this host, is out of range ({number}, {size}, {local_rank})",
                remedy=_REMEDY,
            )
        return rank
    raise SetupError(
        "--cluster found no launcher: the rank variables of Open MPI, MPICH and Slurm are not set",
        remedy=_REMEDY,
    )


def _number(environment: Mapping[str, str], name: str, default: str = "") -> int:
    value = environment.get(name, default)
    if not value.isdecimal():
        raise SetupError(f"{name} must be a number, not {value!r}", remedy=_REMEDY)
    return int(value)


def _tasks_on_this_node(environment: Mapping[str, str]) -> int:
    """Return the number of Slurm's tasks on this node: ``2(x3),1`` means 2, 2, 2, 1 by node."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        if match := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part):
            counts += [int(match[1])] * int(match[2] or 1)
    node = _number(environment, "SLURM_NODEID", "0")
    return counts[node] if node < len(counts) else _number(environment, "SLURM_LOCALID", "0") + 1
