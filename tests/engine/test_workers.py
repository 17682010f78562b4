"""The key-value store with which workers train together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.engine_children import answer
from tests.support.launched import free_port

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """What two workers answer, by rank."""
    common = {
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(free_port()),
        "DMLC_NUM_WORKER": "2",
        "DMLC_NODE_HOST": "127.0.0.1",
    }

    def ask(rank: int) -> dict[str, Any]:
        variables = {**common, "DMLC_WORKER_ID": str(rank)}
        found: dict[str, Any] = answer("workers", engine=True, variables=variables)
        return found

    with ThreadPoolExecutor() as pool:
        return list(pool.map(ask, (0, 1)))


def test_sums(told: list[dict[str, Any]]) -> None:
    for rank in (0, 1):
        assert told[rank]["workers"] == [rank, 2, "dist_sync"]
        assert told[rank]["sums of several keys"] == [
            [11.0 * number for number in (0, size // 2, size - 1)]
            for size in (3, 600_000, 48, 4, 360_000)
        ]
        own = [10.0**rank * number for number in (0, 2, 4)]
        assert told[rank]["sum of one key"] == [own, [0.0, 22.0, 44.0]]
        assert told[rank]["waited"]


def test_a_worker_that_is_gone_is_an_error(told: list[dict[str, Any]]) -> None:
    assert told[0]["error"].startswith("lost the connection to the other workers: ")
    assert "error" not in told[1]


def test_needs_a_launcher() -> None:
    with pytest.raises(AssertionError, match="several workers require DMLC_PS_ROOT_URI, "):
        answer("workers", engine=True)
