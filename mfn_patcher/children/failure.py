"""What the last lines of a script that failed say, in one sentence, and what helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_RAISED = re.compile(r"(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b.*")
_USAGE = re.compile(r"\S+\.py: error: (?P<text>.+)")
# What the patches end the script with, which tells what helps.
_OWN = re.compile(
    r"(?P<what>(?:.* cannot be trained on|training cannot start from|image \d+ of "
    r"|.* cannot be read as a verification set|.* names \S+, which no verification set needs).*)"
    r"; (?P<remedy>[^;]+)"
)
_TRACEBACK = "Traceback (most recent call last)"

# The first that fits decides.
_REMEDIES = {
    r"MemoryError|[Oo]ut of memory|bad_alloc|cudaMalloc|[Cc]annot allocate memory"
    r"|[Mm]emory allocation failed": "Memory ran out: try a smaller --batch-size, or more GPUs.",
    r"No space left on device|Disk quota exceeded": "Make room on the disk; the checkpoints that "
    "were saved are as they were.",
    r"ModuleNotFoundError|ImportError|cannot open shared object": "`mfn-patch doctor` says what "
    "the training interpreter lacks.",
    r"FileNotFoundError|NotADirectoryError|No such file or directory": "Bring it back if it was "
    "removed during the training, or name another with --data-dir, --models-dir or --pretrained.",
    r"PermissionError|Permission denied|Read-only file system": "Check its owner and permissions.",
    r"\bCUDA|\bcu(DNN|dnn|BLAS|blas)\b|\bGPU": "`mfn-patch doctor` checks driver, GPUs and "
    "libraries; --cpu trains without a GPU.",
    r"[Rr]ecord|imdecode|Unpickling|[Dd]ecode": "`mfn-patch data check` looks for damaged images.",
}
_EDITED = "The patched code has edits of yours: `mfn-patch diff --local` shows them."
_ARGUMENTS = "Check the arguments after --: the script does not validate them."
_UNKNOWN = "`mfn-patch doctor` and `mfn-patch data check` look for the usual causes."


@dataclass(frozen=True)
class Failure:
    """Why a script ended.

    Attributes:
        what: the exception, or the message of its argument parser, in one line.
        remedy: what to do about it.
    """

    what: str
    remedy: str


def explain(tail: Sequence[str], *, edited: bool, arguments: bool) -> Failure | None:
    """Return why a script ended, if a patch, its argument parser or a traceback says so.

    Args:
        tail: the last lines of its output.
        edited: whether the user has changed its code.
        arguments: whether it got arguments of the user's.
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
    # MXNet's own text begins with a traceback of C++ and ends with the exception once more.
    what = re.sub(r"^(\w+\.)*(\w+): \2: ", r"\2: ", raised[-1])
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, what):
            return Failure(what, remedy)
    hints = [_EDITED] * edited + [_ARGUMENTS] * arguments
    return Failure(what, " ".join(hints or [_UNKNOWN]))
