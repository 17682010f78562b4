"""The command line of a training on several hosts, up to where processes start."""

from __future__ import annotations

import dataclasses
from itertools import takewhile
from pathlib import Path

import pytest

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.cluster import agreement as facts
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.job import describe, share_devices
from mfn_patcher.cluster.ranks import Place
from mfn_patcher.recipes import loading
from mfn_patcher.runs.code import Code
from mfn_patcher.training.command import Options, PlanError, StagePlan, plan_chain
from tests.support.repositories import StandIn
from tests.support.shipped import SERIES
from tests.support.tool import Tool


def plans(**options: object) -> tuple[StagePlan, ...]:
    chosen = loading.load()
    asked = dataclasses.replace(Options(workers=4, seed=0), **options)  # type: ignore[arg-type]
    return plan_chain(chosen, chosen.stages, asked)


def value(plan: StagePlan, name: str) -> str:
    return plan.arguments[plan.arguments.index(name) + 1]


def test_the_batch_is_over_all_workers() -> None:
    """As over several GPUs: what is documented for 512 images a step stays as it is."""
    plan = plans()[1]
    assert (plan.batch_size, plan.steps) == (512, 160_000)
    assert value(plan, "--per-batch-size") == "128"
    assert value(plan, "--kvstore") == "dist_sync"
    assert describe(plan, 4) == (
        "stage 3 (arcface): 512 images a step, 128 by each of 4 workers; 160,000 steps; "
        "learning rate 0.1, a tenth of it from each of steps 80000,120000,140000,160000"
    )
    assert value(plans(gpus="0,1")[1], "--per-batch-size") == "64"


def test_steps_are_scaled_for_the_batch_of_all() -> None:
    plan = plans(batch_size=2048, scale_steps=True)[1]
    assert (plan.steps, value(plan, "--per-batch-size")) == (40_000, "512")
    assert "40,000 steps" in describe(plan, 4)
    assert "20000,30000,35000,40000" in describe(plan, 4)


def test_a_batch_that_workers_cannot_share() -> None:
    with pytest.raises(PlanError, match="1 device of each of 3 workers") as error:
        plans(workers=3)
    assert "--batch-size 510 or 513" in error.value.remedy


@pytest.mark.parametrize(
    ("gpus", "visible", "place", "got"),
    [
        ("0,1,2,3", None, Place(1, 4, 1, 2, ""), "2,3"),
        ("0,1", None, Place(1, 4, 0, 1, ""), "0,1"),
        (None, "3", Place(1, 4, 1, 2, ""), None),
        (None, None, Place(1, 4, 0, 1, ""), None),
    ],
)
def test_ranks_of_a_host_share_its_gpus(
    gpus: str | None, visible: str | None, place: Place, got: str | None
) -> None:
    assert share_devices(gpus, visible, place) == got


@pytest.mark.parametrize("gpus", [None, "0", "0,1,2"])
def test_gpus_that_cannot_be_shared(gpus: str | None) -> None:
    with pytest.raises(SetupError, match=r"2 ranks on .* can't share GPU"):
        share_devices(gpus, None, Place(0, 2, 0, 2, ""))


def test_facts_leave_out_where_things_are() -> None:
    machine = Interpreter("/usr/bin/python3", "3.11.7", {"mxnet": "1.9.1", "scipy": "1.9"}, ())
    own = frozenset({"--data-dir", "--prefix", "--pretrained", "--data-workers"})
    code = Code("a" * 40, "c" * 40, own=own)
    here = facts.collect(code, plans(data_dir=Path("/a"), models_dir=Path("/m")), machine, "d")
    script = ("--data-workers", "9")
    there = facts.collect(
        code,
        plans(data_dir=Path("/b"), models_dir=Path("/n"), script_arguments=script),
        machine,
        "d",
    )
    assert facts.differences(here, {"rank 1 on b": there}) == []
    other = facts.collect(
        dataclasses.replace(code, edits=b"x"),
        plans(batch_size=1024),
        dataclasses.replace(machine, versions={"mxnet": "1.9.0"}),
        "e",
    )
    lines = facts.differences(here, {"rank 1 on b": other})
    for part in (
        "rank 1 on b: edits of the patched code is",
        "rank 1 on b: mxnet is 1.9.0, and on rank 0 1.9.1",
        "rank 1 on b: data set is e, and on rank 0 d",
        "rank 1 on b: stage 3 (arcface) --per-batch-size is 256, and on rank 0 128",
    ):
        assert any(line.startswith(part) for line in lines), lines


def applied(tool: Tool, shipped: StandIn, folder: Path, *options: str) -> Path:
    places = ("-w", folder, "--upstream", shipped.upstream, "--project", shipped.project)
    assert tool("apply", *places, *options).code == 0
    return folder


def test_a_dry_run_prints_every_role(
    tool: Tool, shipped: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = applied(tool, shipped, tmp_path / "insightface")
    (tmp_path / "hosts").write_text("localhost\n127.0.0.1\n")
    options = ("-w", workspace, "--stage", "2,3", "--cpu", "--dry-run")
    ran = tool("train", *options, "--hosts", tmp_path / "hosts")
    assert ran.code == 0, ran.err
    roles = [line for line in ran.out.splitlines() if "DMLC_ROLE" in line]
    kinds = ["scheduler", "server", "worker", "worker", "server", "worker", "worker"]
    assert [line.split()[0] for line in roles] == [f"DMLC_ROLE={kind}" for kind in kinds]
    assert all("DMLC_NUM_WORKER=2 DMLC_NUM_SERVER=2" in line for line in roles)
    assert ran.out.count("train_softmax.py --network y1") == 2 + 2 * 2

    ranks = {"RANK": "1", "SIZE": "2", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}
    for name, number in ranks.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", number)
    ran = tool("train", *options, "--cluster")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if "DMLC" in line] == [
        f"DMLC_ROLE={kind}" for kind in ("server", "worker", "worker")
    ]
    assert not (workspace / "runs").exists()


def test_without_launcher_or_stack(tool: Tool, shipped: StandIn, tmp_path: Path) -> None:
    workspace = applied(tool, shipped, tmp_path / "all")
    ran = tool("train", "-w", workspace, "--stage", "2", "--cluster")
    assert ran.code == 1
    assert "finds no launcher's variables" in ran.err
    assert "mpirun -n 4" in ran.err
    ran = tool("train", "-w", workspace, "--stage", "2", "--rendezvous", "a")
    assert ran.code == 2
    assert "--rendezvous requires --cluster or --hosts" in ran.err
    before = takewhile(lambda name: name != "cluster", SERIES.stacks)
    stacks = [token for name in before for token in ("--stack", name)]
    workspace = applied(tool, shipped, tmp_path / "less", *stacks)
    (tmp_path / "hosts").write_text("localhost\n")
    ran = tool("train", "-w", workspace, "--stage", "2", "--hosts", tmp_path / "hosts")
    assert ran.code == 1
    assert "need the patches of stacks resume and cluster" in ran.err
