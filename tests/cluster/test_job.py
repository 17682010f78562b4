from __future__ import annotations

import pytest

from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.job import share_devices
from mfn_patcher.cluster.ranks import Rank


@pytest.mark.parametrize(
    ("gpus", "visible", "rank", "got"),
    [
        ("0,1,2,3", None, Rank(1, 4, 1, 2, ""), "2,3"),
        ("0,1", None, Rank(1, 4, 0, 1, ""), "0,1"),
        (None, "3", Rank(1, 4, 1, 2, ""), None),
        (None, None, Rank(1, 4, 0, 1, ""), None),
    ],
)
def test_ranks_of_a_host_share_its_gpus(
    gpus: str | None, visible: str | None, rank: Rank, got: str | None
) -> None:
    assert share_devices(gpus, visible, rank) == got


@pytest.mark.parametrize("gpus", [None, "0", "0,1,2"])
def test_gpus_that_cannot_be_shared(gpus: str | None) -> None:
    with pytest.raises(SetupError, match=r"2 ranks on .* cannot share GPU"):
        share_devices(gpus, None, Rank(0, 2, 0, 2, ""))
