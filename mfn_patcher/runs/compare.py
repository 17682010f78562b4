"""What two runs have in common, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfn_patcher.arguments import as_mapping
from mfn_patcher.runs.store import Run
from mfn_patcher.runs.summary_json import finite


@dataclass(frozen=True)
class ComparedValue:
    """One property of two runs.

    Attributes:
        group: what it is about, such as ``arguments``.
        name: name of the property.
        a: its value in the first run; None if it has none.
        b: its value in the second run.
    """

    group: str
    name: str
    a: Any
    b: Any

    @property
    def differs(self) -> bool:
        """Whether the values are different."""
        return bool(self.a != self.b)


def compare(a: Run, b: Run) -> list[ComparedValue]:
    """Compare the settings and the results of two runs."""
    values = []
    for group, (of_a, of_b) in {
        "run": (_run(a), _run(b)),
        "arguments": _arguments(a, b),
        "environment": _tables(a, b, "environment"),
        "versions": _tables(a, b, "versions"),
        "code": (_code(a), _code(b)),
        "data set": (_data_set(a), _data_set(b)),
        "results": (_results(a), _results(b)),
    }.items():
        for name in dict.fromkeys((*of_a, *of_b)):
            values.append(ComparedValue(group, name, of_a.get(name), of_b.get(name)))
    return values


def _run(run: Run) -> dict[str, Any]:
    keys = ("recipe", "stage", "name", "batch_size", "steps", "start", "seconds")
    engine = run.record.get("engine") or {}
    return {
        "state": run.state,
        **{key: run.record.get(key) for key in keys if key in run.record},
        "engine": engine.get("name"),
    }


def _arguments(a: Run, b: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return all arguments as the script printed them, or else those of the commands."""
    both = [run.summary.arguments if run.summary else {} for run in (a, b)]
    if not all(both):
        both = [_given(a), _given(b)]
    # The folder of its heartbeat is the run's own, so it always differs.
    of_a, of_b = ({k: v for k, v in it.items() if k != "progress"} for it in both)
    return of_a, of_b


def _given(run: Run) -> dict[str, str]:
    given = as_mapping([str(token) for token in run.record.get("command", ())])
    return {name.removeprefix("--").replace("-", "_"): value for name, value in given.items()}


def _tables(a: Run, b: Run, key: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return a.record.get(key, {}), b.record.get(key, {})


def _code(run: Run) -> dict[str, Any]:
    patches = {patch["patch"]: patch["digest"] for patch in run.record.get("patches", ())}
    keys = ("pin", "chain_commit", "edited")
    return {**{key: run.record.get(key) for key in keys}, **patches}


def _data_set(run: Run) -> dict[str, Any]:
    found = run.record.get("data_set") or {"sha256": None, "files": {}}
    files = {name: file["sha256"] for name, file in found["files"].items()}
    return {"fingerprint": found["sha256"], **files}


def _results(run: Run) -> dict[str, Any]:
    results: dict[str, Any] = {"last_checkpoint": run.record.get("last_checkpoint")}
    if run.summary is None:
        return results
    results["last_step"] = run.summary.last_step
    results["images_per_second"] = run.summary.curve.median_speed
    results["training_loss"] = finite(run.summary.curve.loss)
    results["training_accuracy"] = finite(run.summary.curve.accuracy)
    for name, best in run.summary.best().items():
        results[f"{name}: best accuracy"] = best.accuracy
        results[f"{name}: std"] = finite(best.std)
        results[f"{name}: xnorm"] = finite(best.xnorm)
        results[f"{name}: at step"] = best.step
        results[f"{name}: checkpoint"] = run.summary.checkpoint_at(best.step)
    return results
