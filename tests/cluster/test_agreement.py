from __future__ import annotations

import dataclasses
from pathlib import Path

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.cluster.agreement import collect_facts, find_differences
from mfn_patcher.engine.choice import Engine
from mfn_patcher.runs.code import Code
from tests.support.plans import plans


def test_facts_leave_out_paths() -> None:
    versions = {"torch": "2.13.0", "numpy": "1.23.5", "scipy": "1.9"}
    machine = Interpreter("/usr/bin/python3", "3.11.7", versions, ())
    engine = Engine("mxnet", "mxnet 1.9.1", "selected", machine)
    code = Code("a" * 40, "c" * 40)
    chain = plans(data_dir=Path("/a"), models_dir=Path("/m"))
    here = collect_facts(code, chain, machine, engine, "d")
    script = ("--data-workers", "9")
    there = collect_facts(
        code,
        plans(data_dir=Path("/b"), models_dir=Path("/n"), script_arguments=script),
        dataclasses.replace(machine, versions={**versions, "torch": "2.4.0"}),
        engine,
        "d",
    )
    assert find_differences(here, {"rank 1 on b": there}) == []
    other = collect_facts(
        dataclasses.replace(code, edits=b"x"),
        plans(batch_size=1024),
        dataclasses.replace(machine, versions={**versions, "numpy": "2.0.0"}),
        Engine("torch", "torch 2.13.0", "selected", machine),
        "e",
    )
    lines = find_differences(here, {"rank 1 on b": other})
    for part in (
        "rank 1 on b: edits of the patched code is",
        "rank 1 on b: numpy is 2.0.0, but 1.23.5 on rank 0",
        "rank 1 on b: engine is PyTorch (torch 2.13.0), but MXNet (mxnet 1.9.1) on rank 0",
        "rank 1 on b: data set is e, but d on rank 0",
        "rank 1 on b: stage 3 (arcface) --per-batch-size is 256, but 128 on rank 0",
    ):
        assert any(line.startswith(part) for line in lines), lines
