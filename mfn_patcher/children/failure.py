"""Why a script failed, from the last lines of its output, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RAISED = re.compile(r"(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b.*")
_USAGE = re.compile(r"\S+\.py: error: (?P<text>.+)")
# Our own code ends the script with a sentence whose remedy follows a semicolon.
_OWN = re.compile(
    r"(?P<what>(?:.* cannot be trained on|training cannot start from|image \d+ of "
    r"|.* cannot be read as a verification set|.* names \S+, which no verification set needs).*)"
    r"; (?P<remedy>[^;]+)"
)
_TRACEBACK = "Traceback (most recent call last)"

# The first pattern that matches counts.
_REMEDIES = {
    r"MemoryError|[Oo]ut of memory|bad_alloc|cudaMalloc|[Cc]annot allocate memory"
    r"|[Mm]emory allocation failed": "Out of memory: try a smaller --batch-size, or more GPUs.",
    r"No space left on device|Disk quota exceeded": "Free some disk space; saved checkpoints are "
    "not affected.",
    r"ModuleNotFoundError|ImportError|cannot open shared object": "`mfn-patch doctor` lists what "
    "the training interpreter is missing.",
    r"FileNotFoundError|NotADirectoryError|No such file or directory": "Restore it if it was "
    "removed during training, or name another with --data-dir, --models-dir or --pretrained.",
    r"PermissionError|Permission denied|Read-only file system": "Check its owner and permissions.",
    r"\bCUDA|\bcu(DNN|dnn|BLAS|blas)\b|\bGPU": "`mfn-patch doctor` checks driver, GPUs and "
    "libraries; --cpu trains without a GPU.",
    r"[Rr]ecord|imdecode|Unpickling|[Dd]ecode": "`mfn-patch data check` finds damaged images.",
}
_EDITED = "You have edited the patched code: `mfn-patch diff --local` shows the edits."
_ARGUMENTS = "Check the arguments after --: the script does not validate them."
_UNKNOWN = "`mfn-patch doctor` and `mfn-patch data check` find the usual causes."


@dataclass(frozen=True)
class Failure:
    """Why a script failed.

    Attributes:
        what: exception, or message of the argument parser, in one line.
        remedy: what to do about it.
    """

    what: str
    remedy: str


def explain(tail: Sequence[str], *, edited: bool, arguments: bool) -> Failure | None:
    """Return why a script failed, if its output has a message of ours or a traceback.

    Args:
        tail: last lines of its output.
        edited: whether the user has edited its code.
        arguments: whether the user has passed arguments to it.
    """
    own = next(filter(None, map(_OWN.fullmatch, reversed(tail))), None)
    if own:
        return Failure(own["what"], f"{own['remedy'][:1].upper()}{own['remedy'][1:]}.")
    usage = next(filter(None, map(_USAGE.fullmatch, reversed(tail))), None)
    if usage:
        return Failure(usage["text"], "Correct the arguments after --.")
    raised = [line.strip() for line in tail if _RAISED.fullmatch(line.strip())]
    if not raised or not any(_TRACEBACK in line or line.startswith("  File ") for line in tail):
        return None
    # MXNet's message begins with a C++ traceback and repeats the exception at the end.
    what = re.sub(r"^(\w+\.)*(\w+): \2: ", r"\2: ", raised[-1])
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, what):
            return Failure(what, remedy)
    hints = [_EDITED] * edited + [_ARGUMENTS] * arguments
    return Failure(what, " ".join(hints or [_UNKNOWN]))
