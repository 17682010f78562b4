"""What upstream's own main() hands to Module.fit, as JSON.

Run by the training interpreter in the workspace's src folder:

    python dry_run.py OUTPUT < CASES

CASES is a JSON list of argument lists of train_softmax.py. The real script runs, up to the call
of Module.fit; then the module is bound and its optimizer initialized as fit would do it, and the
optimizer is asked for the learning rate and weight decay of every parameter, and the module for
the memory it needs. OUTPUT receives a JSON object: "cases" has an object for each case, "error"
is what ended the program before that, and "python2" lists, for each file that the script loads,
the built-ins of Python 2 it relies on. Standard output is the script's.
"""

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

# The built-in names that Python 3 took away.
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
    """Leaves main() when the script calls Module.fit; no handler of the script's stops it."""


def effective_values(module, data, arguments):
    """Return {parameter: [learning rate, weight decay]} as the optimizer applies them."""
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
        optimizer.idx2name[index]: [rate, decay]
        for index, rate, decay in zip(indices, rates, decays)
    }


def memory(module):
    """Return the bytes that a bound module needs on its first device.

    The activations and their gradients share what MXNet's memory planner lays out for them, whose
    total it tells in MiB, rounded down; all else has arrays of its own.
    """
    executor = module._exec_group.execs[0]
    planned = re.search(r"^Total (\d+) MB allocated$", executor.debug_str(), re.MULTILINE)
    fed = {"data", "softmax_label"}
    parameters = [array for name, array in executor.arg_dict.items() if name not in fed]

    def count(arrays):
        return sum(array.size * array.dtype().itemsize for array in arrays)

    return {
        "activations": (int(planned.group(1)) + 1) << 20,
        "batch": count(executor.arg_dict[name] for name in fed),
        "parameters": count(parameters),
        "gradients": count(array for array in executor.grad_dict.values() if array is not None),
        "moving_averages": count(executor.aux_dict.values()),
    }


def describe(initializer):
    """Return an initializer's class and its settings."""
    name, settings = json.loads(initializer.dumps())
    return {"class": name, "settings": settings}


def handed(module, train_data, **arguments):
    """Return what Module.fit was handed: for each parameter, and for the network as a whole."""
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


def run(script, case, look):
    """Run main() of `script` with the arguments `case`, up to the call of Module.fit.

    Args:
        script: the module.
        case: list of arguments.
        look: called with what Module.fit would be called with, the module first; what it returns is
            returned.
    """
    import mxnet as mx

    seen = []

    def fit(module, train_data, **arguments):
        seen.append(look(module, train_data, **arguments))
        raise Reached

    original, mx.mod.Module.fit = mx.mod.Module.fit, fit
    argv, sys.argv = sys.argv, [script.__file__, *case]
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            script.main()
    except Reached:
        return seen[0]
    except SystemExit as ending:
        # argparse has said what it does not understand.
        *_, said = complaints.getvalue().splitlines() or [repr(ending)]
        raise ValueError(said) from None
    finally:
        sys.stderr.write(complaints.getvalue())
        mx.mod.Module.fit = original
        sys.argv = argv
    raise RuntimeError("main() ended without calling Module.fit")


def global_names(code):
    """Yield the names that a code object, and those within it, look up outside their function."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from global_names(constant)


def relies_on_python_2(folder):
    """Return {file: names} of the loaded modules below `folder` that use what Python 3 lacks."""
    found = {}
    for module in list(sys.modules.values()):
        path = os.path.abspath(getattr(module, "__file__", None) or os.sep)
        # Modules that are no files may claim any name: torch.ops is "_ops.py".
        if not (path.startswith(folder + os.sep) and os.path.isfile(path)):
            continue
        with open(path, "rb") as file:
            used = set(global_names(compile(file.read(), path, "exec")))
        names = (used & PYTHON_2) - set(vars(module)) - set(vars(builtins))
        if names:
            found[os.path.relpath(path, folder)] = sorted(names)
    return found


def main():
    """Run all cases and write the report."""
    cases = json.load(sys.stdin)
    sys.path.insert(0, os.getcwd())
    report = {}
    try:
        import train_softmax

        report["cases"] = [run(train_softmax, case, handed) for case in cases]
    except BaseException as error:
        traceback.print_exc()
        report["error"] = "{}: {}".format(type(error).__name__, error)
    report["python2"] = relies_on_python_2(os.getcwd())
    with open(sys.argv[1], "w") as file:
        json.dump(report, file)


if __name__ == "__main__":
    main()
