"""The command line of training on several hosts, up to where processes start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfn_patcher.cluster.train import describe_split
from mfn_patcher.training.options import PlanError
from mfn_patcher.training.plan import StagePlan
from tests.support.plans import plans
from tests.support.repositories import StandIn
from tests.support.shipped import WITHOUT_HOOKS, apply_shipped
from tests.support.tool import Tool


def value(plan: StagePlan, name: str) -> str:
    return plan.arguments[plan.arguments.index(name) + 1]


def test_the_batch_is_split_over_all_workers() -> None:
    """As with several GPUs, what is documented for 512 images per step does not change."""
    plan = plans()[1]
    assert (plan.batch_size, plan.steps) == (512, 160_000)
    assert value(plan, "--per-batch-size") == "128"
    assert value(plan, "--kvstore") == "dist_sync"
    assert describe_split(plan, 4) == (
        "stage 3 (arcface): 512 images per step, 128 on each of 4 workers; 160,000 steps; "
        "learning rate 0.1, divided by 10 at steps 80000,120000,140000,160000"
    )
    assert value(plans(gpus="0,1")[1], "--per-batch-size") == "64"


def test_steps_are_scaled_for_the_batch_of_all() -> None:
    plan = plans(batch_size=2048, scale_steps=True)[1]
    assert (plan.steps, value(plan, "--per-batch-size")) == (40_000, "512")
    assert "40,000 steps" in describe_split(plan, 4)
    assert "20000,30000,35000,40000" in describe_split(plan, 4)


def test_a_batch_that_cannot_be_split() -> None:
    with pytest.raises(PlanError, match="1 device on each of 3 workers") as error:
        plans(workers=3)
    assert "--batch-size 510 or 513" in error.value.remedy


@pytest.mark.long
@pytest.mark.usefixtures("engines_are_imported_once")
@pytest.mark.parametrize("engine", ["mxnet", "torch"])
def test_a_dry_run_prints_every_role(
    tool: Tool,
    shipped: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    """The engine need not be installed."""
    beside = [["scheduler", "server"], ["server"]] if engine == "mxnet" else [[], []]
    servers = 2 if engine == "mxnet" else 0
    workspace = apply_shipped(tool, shipped, tmp_path / "insightface")
    (tmp_path / "hosts").write_text("localhost\n127.0.0.1\n")
    options = ("-w", workspace, "--stage", "2,3", "--cpu", "--dry-run", "--engine", engine)
    ran = tool("train", *options, "--hosts", tmp_path / "hosts")
    assert ran.code == 1
    assert "stage 2 (softmax) cannot train on" in ran.err
    roles = [line for line in ran.out.splitlines() if "DMLC_ROLE" in line]
    kinds = [kind for each in beside for kind in (*each, "worker", "worker")]
    assert [line.split()[0] for line in roles] == [f"DMLC_ROLE={kind}" for kind in kinds]
    assert all(f"DMLC_NUM_WORKER=2 DMLC_NUM_SERVER={servers}" in line for line in roles)
    workers = [line for line in roles if line.startswith("DMLC_ROLE=worker")]
    assert all(re.search(r" PYTHONPATH=\S*/trainer ", line) for line in workers)
    assert all((" PORT=" in line) == (engine == "mxnet") for line in workers)
    assert ran.out.count("train_softmax.py --network y1") == 2 + 2 * 2

    ranks = {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}
    for name, number in ranks.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", number)
    ran = tool("train", *options, "--cluster")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if "DMLC" in line] == [
        f"DMLC_ROLE={kind}" for kind in (*beside[1], "worker", "worker")
    ]
    assert not (workspace / "runs").exists()


def test_without_launcher_or_stack(tool: Tool, shipped: StandIn, tmp_path: Path) -> None:
    workspace = apply_shipped(tool, shipped, tmp_path / "all")
    ran = tool("train", "-w", workspace, "--stage", "2", "--cluster")
    assert ran.code == 1
    assert "found no launcher" in ran.err
    assert "mpirun -n 4" in ran.err
    ran = tool("train", "-w", workspace, "--stage", "2", "--rendezvous", "a")
    assert ran.code == 2
    assert "--rendezvous requires --cluster or --hosts" in ran.err
    workspace = apply_shipped(tool, shipped, tmp_path / "less", *WITHOUT_HOOKS)
    (tmp_path / "hosts").write_text("localhost\n")
    ran = tool("train", "-w", workspace, "--stage", "2", "--hosts", tmp_path / "hosts")
    assert ran.code == 1
    assert "--cluster and --hosts require stack hooks" in ran.err
