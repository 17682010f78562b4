"""What patching achieved, asked of the real code.

The training interpreter runs upstream's own ``main()`` up to ``Module.fit`` on a tiny data set,
for each distinct loss type of the recipe and for each network whose initializer it names. What
was handed over there is compared with what the recipe expects. Then each network computes one step
on the device that a training would use, and the gradients of its PReLU slopes are compared with
differences of the loss: MXNet since 1.3 gets them wrong, depending on how it plans memory.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfn_patcher.children import dry_run as handed
from mfn_patcher.children import interpreter
from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.recipes.model import RecipeError
from mfn_patcher.training.devices import choose_devices
from mfn_patcher.training.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes.model import Expectations, Recipe, Stage

_BATCH = "2"
_SLOPES = "slope_gradients"
# A wrong gradient is the right one times the slope, a quarter at first. Differences are within a
# fiftieth of a right one.
_TOLERANCE = 0.1


class VerificationError(MfnPatchError):
    """The code could not be asked, or is not what the recipe expects."""

    exit_code = ExitCode.VERIFICATION


@dataclass(frozen=True)
class Check:
    """One expectation of the recipe, and what the code makes of it.

    Attributes:
        name: what was looked at: ``arguments``, ``multipliers``, ``initializer`` or ``slopes``.
        case: of which network and loss type, or on which device.
        ok: whether it is as expected.
        expected: what the recipe wants.
        found: what the code does.
    """

    name: str
    case: str
    ok: bool
    expected: str
    found: str


def verify(
    workspace: Workspace,
    recipe: Recipe,
    python: str | None = None,
    wanted: str = AUTO,
) -> list[Check]:
    """Ask the code in `workspace` what it would train with, and compare it with `recipe`.

    Args:
        workspace: with patches applied.
        recipe: whose expectations count.
        python: the training interpreter; by default the one that runs the tool.
        wanted: which engine the user asks for.

    Raises:
        VerificationError: the code does not run as far as ``Module.fit``.
        HandedError: it ended the interpreter.
        RecipeError: the recipe does not say what to expect.
        InterpreterError: the training interpreter cannot run it.
    """
    expect = recipe.expect
    if expect is None:
        raise RecipeError(
            f"recipe {recipe.name} does not say what the code should make of its arguments",
            remedy="Give it a table [expect], as `mfn-patch recipes show mobilefacenet` has it.",
        )
    stacks = {link.patch.partition("/")[0] for link in workspace.status().links}
    path = interpreter.find(python)
    engine = choice.choose(wanted, path, os.environ, "")
    environment = engine.environment(os.environ, "")

    by_loss = {stage.value("--loss-type"): stage for stage in recipe.stages}
    losses = [(_network(stage), stage) for stage in by_loss.values()]
    networks = [(network, recipe.stages[-1]) for network in expect.initializer]
    cases = list(dict.fromkeys([*losses, *networks]))
    arguments = [
        [*stage.arguments, "--network", network, "--per-batch-size", _BATCH]
        for network, stage in cases
    ]
    report = handed.ask(workspace.path / "src", path, environment, arguments)
    _raise_unless_reached(report, python3="python3" in stacks)

    reached = dict(zip(cases, report["cases"]))
    checks: list[Check] = []
    for case in losses:
        checks += _check_loss(expect, case, reached[case])
    checks += [_check_initializer(expect, network, reached[network, s]) for network, s in networks]
    by_network: dict[str, Sequence[str]] = {}
    for (network, _), values in zip(losses, arguments):
        by_network.setdefault(network, values)
    variables = _training_environment(recipe, wanted, path)
    return checks + _check_slopes(workspace.path / "src", path, variables, by_network)


def _network(stage: Stage) -> str:
    return stage.value("--network") or ""


def _title(network: str, stage: Stage) -> str:
    return f"{network}, loss type {stage.value('--loss-type')}"


def _raise_unless_reached(report: Mapping[str, Any], *, python3: bool) -> None:
    """Refuse code of Python 2, even where it came as far as Module.fit by luck."""
    reasons = [f"{path} uses {', '.join(names)}" for path, names in report["python2"].items()]
    reasons += [report["error"]] if "error" in report else []
    if not reasons:
        return
    if python3:
        raise VerificationError("main() does not run on Python 3: " + "; ".join(reasons))
    raise VerificationError(
        f"the code is Python 2, the stack python3 is not applied: {'; '.join(reasons)}",
        remedy="Run `mfn-patch apply`.",
    )


def _check_loss(
    expect: Expectations, case: tuple[str, Stage], handed: Mapping[str, Any]
) -> list[Check]:
    title = _title(*case)
    unwanted = expect.absent_arguments
    present = [name for name in unwanted if name in handed["arguments"]]
    absence = Check(
        "arguments",
        title,
        not present,
        f"no {', '.join(unwanted)}",
        ", ".join(present) or f"{len(handed['arguments'])} arguments, none of these",
    )
    decay = float(case[1].value("--wd") or handed["optimizer"]["wd"])
    factor = float(case[1].value("--fc7-wd-mult") or 1)
    rate = handed["optimizer"]["lr"]
    wanted = {
        name: (rate, decay * (factor if name in expect.wd_multiplied else 1))
        for name in handed["parameters"]
    }
    # A multiplied parameter that the symbol lacks is as wrong as one without its multiplier.
    complete = set(expect.wd_multiplied) <= set(wanted)
    found = {name: (lr, wd) for name, (lr, wd) in handed["parameters"].items()}
    equal = all(
        math.isclose(a, b, rel_tol=1e-6)
        for name in wanted
        for a, b in zip(wanted[name], found[name])
    )
    return [
        absence,
        Check("multipliers", title, complete and equal, _summary(wanted), _summary(found)),
    ]


def _summary(values: Mapping[str, tuple[float, float]]) -> str:
    """Say which parameters get which learning rate and weight decay, the most common last."""
    *others, (common, count) = reversed(Counter(values.values()).most_common())
    parts = []
    for pair, _ in others:
        names = ", ".join(name for name in values if values[name] == pair)
        parts.append(f"{names}: lr {pair[0]:g}, wd {pair[1]:g}")
    rest = f"{'other ' if others else ''}{count} parameters"
    return "; ".join([*parts, f"{rest}: lr {common[0]:g}, wd {common[1]:g}"])


def _training_environment(recipe: Recipe, wanted: str, python: str) -> dict[str, str]:
    """Return the variables of a training by default, or of one on the CPU where no GPU serves.

    Convolutions on a GPU are kept from rounding to 10 bits (TF32), which blurs differences.
    """
    chosen = Options(visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"))
    devices, _ = choose_devices(recipe, chosen)
    try:
        engine = choice.choose(wanted, python, os.environ, devices)
    except InterpreterError:
        devices = ""
        engine = choice.choose(wanted, python, os.environ, devices)
    return {**engine.environment(os.environ, devices), "NVIDIA_TF32_OVERRIDE": "0"}


def _check_slopes(
    source: Path, python: str, environment: Mapping[str, str], cases: Mapping[str, Sequence[str]]
) -> list[Check]:
    report = handed.ask(source, python, environment, list(cases.values()), program=_SLOPES)
    if "error" in report:
        raise VerificationError(
            f"the gradients of PReLU's slopes can't be measured: {report['error']}"
        )
    device = report["device"]
    measured = {"a small network": report["small"], **dict(zip(cases, report["cases"]))}
    return [_check_gradients(f"{name}, on {device}", found) for name, found in measured.items()]


def _check_gradients(case: str, measured: Sequence[tuple[str, float, float]]) -> Check:
    """Compare derivatives by the gradient with those by differences."""
    ratios = {name: found / wanted if wanted else math.nan for name, found, wanted in measured}
    # What is no number is not within the tolerance.
    wrong = {name: ratio for name, ratio in ratios.items() if not abs(ratio - 1) <= _TOLERANCE}
    found = ", ".join(f"{name} times {ratio:.2f}" for name, ratio in wrong.items())
    return Check(
        "slopes",
        case,
        not wrong,
        "gradients of PReLU's slopes that agree with differences of the loss",
        f"wrong gradients: {found}" if wrong else f"{len(measured)} measured, all of them agree",
    )


def _check_initializer(expect: Expectations, network: str, handed: Mapping[str, Any]) -> Check:
    expected = expect.initializer[network]
    initializer = handed["initializer"]
    kind = initializer["settings"].get("rnd_type", "")
    found = (
        f"{initializer['class']}, {kind}, factor type {initializer['settings'].get('factor_type')}"
    )
    return Check("initializer", network, kind == expected, expected, found)
