"""Report what upstream's main() passes to Module.fit, as JSON.

Runs in the workspace's src folder:

    dry_run OUTPUT < CASES

CASES is a JSON list of argument lists of train_softmax.py. The real script runs up to the call of
Module.fit. Then the module is bound and its optimizer initialised as fit would do it, the optimizer
is asked for the learning rate and weight decay of every parameter, and the module for the memory it
needs. OUTPUT receives a JSON object: "cases" has an object for each case, "error" is what ended the
program before that, and "python2" lists the built-ins of Python 2 that each file of the script
uses. Standard output is the script's.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import io
import json
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

# Built-ins that Python 3 no longer has.
PYTHON_2 = {
    "apply",
    "basestring",
    "buffer",
    "cmp",
    "coerce",
    "execfile",
    "file",
    "intern",
    "long",
    "raw_input",
    "reduce",
    "reload",
    "unichr",
    "unicode",
    "xrange",
}


class Reached(BaseException):
    """Leaves main() when the script calls Module.fit; no handler of the script catches it."""


def effective_values(
    module: Any, data: Any, arguments: Mapping[str, Any]
) -> dict[str, tuple[float, float]]:
    """Return learning rate and weight decay of each parameter, as the optimizer applies them."""
    optimizer = arguments["optimizer"]
    module.bind(data_shapes=data.provide_data, label_shapes=data.provide_label, for_training=True)
    module.init_params(
        initializer=arguments["initializer"],
        arg_params=arguments["arg_params"],
        aux_params=arguments["aux_params"],
        allow_missing=arguments["allow_missing"],
    )
    module.init_optimizer(kvstore=arguments["kvstore"], optimizer=optimizer)
    indices = sorted(optimizer.idx2name)
    rates = optimizer._get_lrs(indices)
    decays = optimizer._get_wds(indices)
    return {
        optimizer.idx2name[index]: (rate, decay)
        for index, rate, decay in zip(indices, rates, decays)
    }


def memory(module: Any) -> dict[str, int]:
    """Return the bytes that a bound module needs on its first device.

    Activations and their gradients share the memory that MXNet's planner lays out for them. It
    prints the total in MiB, rounded down. Everything else has its own arrays.

    Raises:
        RuntimeError: MXNet does not print the total.
    """
    executor = module._exec_group.execs[0]
    planned = re.search(r"^Total (\d+) MB allocated$", executor.debug_str(), re.MULTILINE)
    if planned is None:
        raise RuntimeError("MXNet does not report how much memory it plans")
    fed = {"data", "softmax_label"}
    parameters = [array for name, array in executor.arg_dict.items() if name not in fed]

    def count(arrays: Iterable[Any]) -> int:
        return sum(array.size * array.dtype().itemsize for array in arrays)

    return {
        "activations": (int(planned.group(1)) + 1) << 20,
        "batch": count(executor.arg_dict[name] for name in fed),
        "parameters": count(parameters),
        "gradients": count(array for array in executor.grad_dict.values() if array is not None),
        "moving_averages": count(executor.aux_dict.values()),
    }


def describe(initializer: Any) -> dict[str, Any]:
    """Return the class of an initializer and its settings."""
    name, settings = json.loads(initializer.dumps())
    return {"class": name, "settings": settings}


def passed_to_fit(module: Any, train_data: Any, **arguments: Any) -> dict[str, Any]:
    """Return what Module.fit is called with, for each parameter and for the whole network."""
    optimizer = arguments["optimizer"]
    return {
        "arguments": [
            name for name in module.symbol.list_arguments() if name not in ("data", "softmax_label")
        ],
        "optimizer": {
            "class": type(optimizer).__name__,
            "lr": optimizer.lr,
            "wd": optimizer.wd,
        },
        "initializer": describe(arguments["initializer"]),
        "parameters": effective_values(module, train_data, arguments),
        "bytes": memory(module),
    }


def run(script: types.ModuleType, case: Sequence[str], look: Callable[..., Found]) -> Found:
    """Run main() of the script up to the call of Module.fit.

    Args:
        script: module ``train_softmax``.
        case: arguments of the script.
        look: called in place of Module.fit, with its arguments.

    Returns:
        What `look` returns.

    Raises:
        ValueError: The script does not accept the arguments.
        RuntimeError: The script does not call Module.fit.
    """
    import mxnet as mx

    seen: list[Found] = []

    def fit(module: Any, train_data: Any, **arguments: Any) -> None:
        seen.append(look(module, train_data, **arguments))
        raise Reached

    original, mx.mod.Module.fit = mx.mod.Module.fit, fit
    argv, sys.argv = sys.argv, [str(script.__file__), *case]
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            script.main()
    except Reached:
        return seen[0]
    except SystemExit as ending:
        # The last line that argparse prints says what is wrong.
        *_, said = complaints.getvalue().splitlines() or [repr(ending)]
        raise ValueError(said) from None
    finally:
        sys.stderr.write(complaints.getvalue())
        mx.mod.Module.fit = original
        sys.argv = argv
    raise RuntimeError("main() ended without calling Module.fit")


def global_names(code: types.CodeType) -> Iterator[str]:
    """Yield the global names that a code object and those within it look up."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant)


def uses_python_2(folder: Path) -> dict[str, list[str]]:
    """Return the built-ins of Python 2 that the loaded modules in a folder use, by file."""
    found = {}
    for module in list(sys.modules.values()):
        # Not every module is a file: that of torch.ops claims to be "_ops.py".
        path = Path(getattr(module, "__file__", None) or os.sep).absolute()
        if not (path.is_relative_to(folder) and path.is_file()):
            continue
        used = set(global_names(compile(path.read_bytes(), path, "exec")))
        names = (used & PYTHON_2) - set(vars(module)) - set(vars(builtins))
        if names:
            found[str(path.relative_to(folder))] = sorted(names)
    return found


def report_on(build: Callable[[Any, Any], dict[str, Any]], **always: Any) -> None:
    """Write a report about the script in the current folder to the file that the command names.

    Args:
        build: returns the report, given the script's module and the cases on standard input. If it
            fails, the report has the reason under ``error`` instead.
        always: functions whose results are added to the report in any case.
    """
    cases = json.load(sys.stdin)
    sys.path.insert(0, str(Path.cwd()))
    try:
        import train_softmax

        report = build(train_softmax, cases)
    except BaseException as error:
        traceback.print_exc()
        report = {"error": f"{type(error).__name__}: {error}"}
    report |= {key: each() for key, each in always.items()}
    Path(sys.argv[1]).write_text(json.dumps(report), encoding="utf-8")


def main() -> None:
    """Run all cases and write the report."""
    report_on(
        lambda script, cases: {"cases": [run(script, case, passed_to_fit) for case in cases]},
        python2=lambda: uses_python_2(Path.cwd()),
    )
