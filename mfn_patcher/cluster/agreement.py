"""The host facts that must agree before hosts train together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from mfn_patcher import __version__
from mfn_patcher.arguments import pairs
from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.engine.choice import Engine
from mfn_patcher.runs.code import Code
from mfn_patcher.trainer.mfn_trainer.arguments import may_differ_between_workers
from mfn_patcher.training.plan import StagePlan

HostFacts = Mapping[str, str]
"""Values by name, as messages show them."""

_PACKAGES = ("numpy", "opencv-python-headless", "opencv-python")
_MAX_SHOWN = 60  # characters


def collect_facts(
    code: Code,
    plans: Sequence[StagePlan],
    interpreter: Interpreter | None,
    engine: Engine | None,
    data_set: str,
) -> HostFacts:
    """Return the facts of this host.

    Args:
        code: the code in the workspace.
        plans: plans of all stages, as if none had been trained.
        interpreter: the training interpreter; None if there is none.
        engine: the engine that trains; None if there is none.
        data_set: SHA-256 of the fingerprint; empty without a data set.
    """
    versions = dict(interpreter.versions) if interpreter else {}
    facts = {
        "mfn-patch": __version__,
        "chain commit": code.commit or "",
        "training package": code.trainer_sha256,
        "edits of the patched code": hashlib.sha256(code.edits).hexdigest() if code.edits else "",
        "Python": ".".join(interpreter.python.split(".")[:2]) if interpreter else "",
        "engine": engine.title if engine else "",
        **{name: versions[name] for name in _PACKAGES if name in versions},
        "data set": data_set,
    }
    for plan in plans:
        facts |= {f"{plan.stage.title} {name}": value for name, value in _arguments(plan)}
    return facts


def _arguments(plan: StagePlan) -> Iterator[tuple[str, str]]:
    for name, value in pairs(plan.arguments):
        if not may_differ_between_workers(name):
            yield name, value


def find_differences(lead: HostFacts, others: Mapping[str, HostFacts]) -> list[str]:
    """Return one line for each fact of another rank that differs from rank 0's.

    Args:
        lead: facts of rank 0's host.
        others: facts of the other ranks, by their names in messages.
    """
    lines = []
    for rank, facts in others.items():
        for name in dict.fromkeys([*lead, *facts]):
            expected, found = lead.get(name, ""), facts.get(name, "")
            if expected != found:
                lines.append(f"{rank}: {name} is {_short(found)}, but {_short(expected)} on rank 0")
    return lines


def _short(value: str) -> str:
    return (value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}...") or "missing"
