"""What must be the same on all hosts, and what is not."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence

from mfn_patcher.children.interpreter import Interpreter
from mfn_patcher.runs.code import Code
from mfn_patcher.training.command import StagePlan

Facts = Mapping[str, str]

_PACKAGES = ("mxnet", "mxnet-cu112", "numpy", "opencv-python-headless", "opencv-python")
_SHOWN = 60  # characters


def collect(
    code: Code, plans: Sequence[StagePlan], interpreter: Interpreter | None, data_set: str
) -> Facts:
    """Return what has to agree, by its name for people.

    Args:
        code: In the workspace.
        plans: Of all stages, as if none had been trained.
        interpreter: That trains; None if there is none.
        data_set: The fingerprint's SHA-256; empty without a data set.
    """
    versions = dict(interpreter.versions) if interpreter else {}
    facts = {
        "mfn-patch": importlib.metadata.version("mfn-patcher"),
        "chain commit": code.commit or "",
        "edits of the patched code": hashlib.sha256(code.edits).hexdigest() if code.edits else "",
        "Python": ".".join(interpreter.python.split(".")[:2]) if interpreter else "",
        **{name: versions[name] for name in _PACKAGES if name in versions},
        "data set": data_set,
    }
    for plan in plans:
        facts |= {f"{plan.stage.title} {name}": value for name, value in _arguments(plan, code)}
    return facts


def _arguments(plan: StagePlan, code: Code) -> list[tuple[str, str]]:
    tokens = plan.arguments
    pairs = []
    for token, following in zip(tokens, (*tokens[1:], "")):
        name, equals, value = token.partition("=")
        if name.startswith("--") and not code.is_own(name):
            pairs.append((name, value if equals else following))
    return pairs


def differences(reference: Facts, others: Mapping[str, Facts]) -> list[str]:
    """Return a line for each fact of another rank that is not rank 0's.

    Args:
        reference: Rank 0's.
        others: By the ranks' names for people.
    """
    lines = []
    for host, facts in others.items():
        for name in dict.fromkeys([*reference, *facts]):
            here, there = reference.get(name, ""), facts.get(name, "")
            if here != there:
                lines.append(f"{host}: {name} is {_short(there)}, and on rank 0 {_short(here)}")
    return lines


def _short(value: str) -> str:
    return (value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...") or "missing"
