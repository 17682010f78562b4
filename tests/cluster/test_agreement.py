from __future__ import annotations

import dataclasses
from pathlib import Path

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.cluster.agreement import collect_facts, find_differences
from mfn_patcher.runs.code import Code
from tests.support.plans import plans


def test_facts_leave_out_paths() -> None:
    machine = Interpreter("/usr/bin/python3", "3.11.7", {"mxnet": "1.9.1", "scipy": "1.9"}, ())
    code = Code("a" * 40, "c" * 40)
    here = collect_facts(code, plans(data_dir=Path("/a"), models_dir=Path("/m")), machine, "d")
    script = ("--data-workers", "9")
    there = collect_facts(
        code,
        plans(data_dir=Path("/b"), models_dir=Path("/n"), script_arguments=script),
        machine,
        "d",
    )
    assert find_differences(here, {"rank 1 on b": there}) == []
    other = collect_facts(
        dataclasses.replace(code, edits=b"x"),
        plans(batch_size=1024),
        dataclasses.replace(machine, versions={"mxnet": "1.9.0"}),
        "e",
    )
    lines = find_differences(here, {"rank 1 on b": other})
    for part in (
        "rank 1 on b: edits of the patched code is",
        "rank 1 on b: mxnet is 1.9.0, but 1.9.1 on rank 0",
        "rank 1 on b: data set is e, but d on rank 0",
        "rank 1 on b: stage 3 (arcface) --per-batch-size is 256, but 128 on rank 0",
    ):
        assert any(line.startswith(part) for line in lines), lines
