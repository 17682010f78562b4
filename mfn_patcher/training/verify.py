"""Whether the patched code makes of the recipe what it should, measured by running that code.

The training interpreter runs upstream's own ``main()`` up to ``Module.fit`` on a tiny data set,
once for each loss type of the recipe and for each network whose initializer the recipe names. What
``main()`` passes to ``fit`` is compared with the recipe's expectations. Then each network computes
one step on the device that training would use, and the gradients of its PReLU slopes are compared
with differences of the loss: MXNet since 1.3 computes them wrong, depending on how it plans memory.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfn_patcher.children import dry_run, interpreter
from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.recipes.model import RecipeError
from mfn_patcher.training.devices import choose_devices
from mfn_patcher.training.options import Options
from mfn_patcher.training.script import require_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mfn_patcher.engine.choice import Engine
    from mfn_patcher.patching.workspace import Workspace
    from mfn_patcher.recipes.model import Expectations, Recipe, Stage

_BATCH = "2"
_SLOPES = "slope_gradients"
# MXNet's wrong gradients are the right ones times the slope, initially 0.25. The differences are
# within 2 % of the right ones.
_TOLERANCE = 0.1


class VerificationError(MfnPatchError):
    """The code could not be run, or does not meet the recipe's expectations."""

    exit_code = ExitCode.VERIFICATION


@dataclass(frozen=True)
class Check:
    """One expectation of the recipe, and what the code does.

    Attributes:
        name: what was checked: ``arguments``, ``multipliers``, ``initializer`` or ``slopes``.
        case: the network and loss type, or the network and device.
        ok: whether the code meets the expectation.
        expected: what the recipe expects.
        found: what the code does.
    """

    name: str
    case: str
    ok: bool
    expected: str
    found: str


@dataclass(frozen=True)
class CodeVerification:
    """The result of verifying a workspace.

    Attributes:
        engine: the engine that ran the code.
        checks: the checks, in order.
    """

    engine: Engine
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.ok)


def verify(
    workspace: Workspace,
    recipe: Recipe,
    python: str | None = None,
    wanted: str = AUTO,
) -> CodeVerification:
    """Run the code in a workspace up to training, and compare it with a recipe.

    Args:
        workspace: the workspace, with patches applied.
        recipe: the recipe whose expectations are checked.
        python: the training interpreter; by default the one that runs the tool.
        wanted: the engine that the user asks for.

    Raises:
        TrainingError: The workspace has no code that the recipe trains.
        VerificationError: The code does not reach ``Module.fit``.
        DryRunError: The interpreter ended early.
        RecipeError: The recipe has no expectations.
        InterpreterError: No engine in the training interpreter can run the code.
    """
    _expectations(recipe)
    require_script(workspace.path / "src", recipe.script)
    engine, devices = _choose_engine(recipe, wanted, interpreter.find(python))
    checks = check_expectations(workspace, recipe, engine)
    checks += check_slopes(workspace.path / "src", recipe, engine, devices)
    return CodeVerification(engine, tuple(checks))


def check_expectations(workspace: Workspace, recipe: Recipe, engine: Engine) -> list[Check]:
    """Compare what the code passes to ``Module.fit`` with a recipe; errors as `verify`."""
    expect = _expectations(recipe)
    losses = _losses(recipe)
    networks = [(network, recipe.stages[-1]) for network in expect.initializer]
    cases = list(dict.fromkeys([*losses, *networks]))
    answer = dry_run.ask(
        workspace.path / "src",
        engine.interpreter.path,
        engine.environment(os.environ, ""),
        [_arguments(*case) for case in cases],
    )
    stacks = {link.patch.partition("/")[0] for link in workspace.status().links}
    _raise_unless_reached(answer, python3="python3" in stacks)
    passed = dict(zip(cases, answer["cases"]))
    checks = [check for case in losses for check in check_loss(expect, case, passed[case])]
    checks += [_check_initializer(expect, network, passed[network, s]) for network, s in networks]
    return checks


def check_slopes(source: Path, recipe: Recipe, engine: Engine, devices: str) -> list[Check]:
    """Compare the gradients of PReLU's slopes with differences of the loss.

    Args:
        source: the folder of the training script.
        recipe: the recipe whose networks are measured.
        engine: the engine to measure with.
        devices: value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.

    Raises:
        VerificationError: The gradients could not be measured.
        DryRunError: The interpreter ended early.
    """
    cases: dict[str, list[str]] = {}
    for network, stage in _losses(recipe):
        cases.setdefault(network, _arguments(network, stage))
    # TF32 would round the inputs of convolutions to 10 bits and blur the differences.
    environment = {**engine.environment(os.environ, devices), "NVIDIA_TF32_OVERRIDE": "0"}
    answer = dry_run.ask(
        source, engine.interpreter.path, environment, list(cases.values()), program=_SLOPES
    )
    if "error" in answer:
        raise VerificationError(
            f"the gradients of PReLU's slopes could not be measured: {answer['error']}"
        )
    device = answer["device"]
    measured = {"a small network": answer["small"], **dict(zip(cases, answer["cases"]))}
    return [_check_gradients(f"{name}, on {device}", found) for name, found in measured.items()]


def _expectations(recipe: Recipe) -> Expectations:
    if recipe.expect is None:
        raise RecipeError(
            f"recipe {recipe.name} does not say what to expect of the code",
            remedy="Add a table [expect], as in `mfn-patch recipes show mobilefacenet`.",
        )
    return recipe.expect


def _losses(recipe: Recipe) -> list[tuple[str, Stage]]:
    """Return the last stage of each loss type, with its network."""
    by_loss = {stage.value("--loss-type"): stage for stage in recipe.stages}
    return [(stage.value("--network") or "", stage) for stage in by_loss.values()]


def _arguments(network: str, stage: Stage) -> list[str]:
    return [*stage.arguments, "--network", network, "--per-batch-size", _BATCH]


def _choose_engine(recipe: Recipe, wanted: str, python: str) -> tuple[Engine, str]:
    """Return the engine that would train, and its GPUs; none if no engine can use them."""
    options = Options(visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"))
    devices, _ = choose_devices(recipe, options)
    try:
        return choice.choose(wanted, python, os.environ, devices), devices
    except InterpreterError:
        return choice.choose(wanted, python, os.environ, ""), ""


def _title(network: str, stage: Stage) -> str:
    return f"{network}, loss type {stage.value('--loss-type')}"


def _raise_unless_reached(answer: Mapping[str, Any], *, python3: bool) -> None:
    """Refuse Python 2 code, even if it happened to reach ``Module.fit``."""
    reasons = [f"{path} uses {', '.join(names)}" for path, names in answer["python2"].items()]
    reasons += [answer["error"]] if "error" in answer else []
    if not reasons:
        return
    if python3:
        raise VerificationError("main() does not run on Python 3: " + "; ".join(reasons))
    raise VerificationError(
        f"the code is Python 2, because stack python3 is not applied: {'; '.join(reasons)}",
        remedy="Run `mfn-patch apply`.",
    )


def check_loss(
    expect: Expectations, case: tuple[str, Stage], passed: Mapping[str, Any]
) -> list[Check]:
    """Check parameters, learning rates and weight decays of a network with a loss.

    Args:
        expect: expectations of the recipe.
        case: the network, and a stage with the loss.
        passed: what the code passes to ``Module.fit``, as program ``dry_run`` reports it.
    """
    title = _title(*case)
    unwanted = expect.absent_arguments
    present = [name for name in unwanted if name in passed["arguments"]]
    absence = Check(
        "arguments",
        title,
        not present,
        f"no {', '.join(unwanted)}",
        ", ".join(present) or f"{len(passed['arguments'])} arguments, none of these",
    )
    decay = float(case[1].value("--wd") or passed["optimizer"]["wd"])
    factor = float(case[1].value("--fc7-wd-mult") or 1)
    rate = passed["optimizer"]["lr"]
    wanted = {
        name: (rate, decay * (factor if name in expect.wd_multiplied else 1))
        for name in passed["parameters"]
    }
    # A multiplied parameter that is missing is as wrong as one without its multiplier.
    complete = set(expect.wd_multiplied) <= set(wanted)
    found = {name: (lr, wd) for name, (lr, wd) in passed["parameters"].items()}
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
    """Say which parameters have which learning rate and weight decay, the most common last."""
    *others, (common, count) = reversed(Counter(values.values()).most_common())
    parts = []
    for pair, _ in others:
        names = ", ".join(name for name in values if values[name] == pair)
        parts.append(f"{names}: lr {pair[0]:g}, wd {pair[1]:g}")
    rest = f"{'other ' if others else ''}{count} parameters"
    return "; ".join([*parts, f"{rest}: lr {common[0]:g}, wd {common[1]:g}"])


def _check_initializer(expect: Expectations, network: str, passed: Mapping[str, Any]) -> Check:
    expected = expect.initializer[network]
    initializer = passed["initializer"]
    kind = initializer["settings"].get("rnd_type", "")
    found = (
        f"{initializer['class']}, {kind}, factor type {initializer['settings'].get('factor_type')}"
    )
    return Check("initializer", network, kind == expected, expected, found)


def _check_gradients(case: str, measured: Sequence[tuple[str, float, float]]) -> Check:
    """Compare derivatives of the loss by the gradient with those by differences."""
    ratios = {name: found / wanted if wanted else math.nan for name, found, wanted in measured}
    # The negation counts NaN as wrong.
    wrong = {name: ratio for name, ratio in ratios.items() if not abs(ratio - 1) <= _TOLERANCE}
    found = ", ".join(f"{name} times {ratio:.2f}" for name, ratio in wrong.items())
    return Check(
        "slopes",
        case,
        not wrong,
        "gradients of PReLU's slopes that agree with differences of the loss",
        f"wrong gradients: {found}" if wrong else f"{len(measured)} measured, all of them agree",
    )
