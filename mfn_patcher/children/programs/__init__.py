"""Small programs for the training interpreter: arguments in, JSON out.

Most of them start through `__main__`, so that they can import their neighbours and other modules
of this package. What they import must need nothing but NumPy and the engine, for the training
interpreter need not have the tool's other dependencies.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
_ALONE = ("bound", "environment")
"""Programs that import nothing of this package; the latter must run on old versions of Python."""


def command(python: str, name: str, *arguments: str) -> list[str]:
    """Return the command line of a program.

    Args:
        python: path of the interpreter that runs it.
        name: name of its module in this package.
        arguments: arguments of the program.
    """
    start = [str(FOLDER / f"{name}.py")] if name in _ALONE else [str(FOLDER), name]
    return [python, *start, *arguments]


TASKS = {
    "cuda": "asking the CUDA driver",
    "dry_run": "running the script up to training",
    "environment": "asking the training interpreter",
    "export": "computing with the training engine",
    "feed": "measuring the feed",
    "slope_gradients": "measuring the gradients of PReLU's slopes",
    "step": "measuring training steps",
}
"""What each program does that answers once, for a progress bar."""
