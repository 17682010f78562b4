"""What the display shows of the script's own lines, besides the events that are read from them.

Most of its lines say something to those who know its code only: sizes, Python's warnings about its
syntax, MXNet's backends. They are in the log. Shown is what a user can act on or waits for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the training package and the engine log, such as records that cannot be decoded.
_WARNING = re.compile(r"(?:WARNING|ERROR|CRITICAL):[^:]*:(?P<words>\S.*)")
_PATTERNS = (
    (re.compile(r"INFO:root:(?P<words>compil(?:ing|ed) the training step.*)"), "{words}"),
    (re.compile(r"(?P<words>starting at random: .*)"), "{words}"),
    (re.compile(r"loading \['(?P<prefix>.+)', '(?P<number>\d+)'\]"), "from {prefix},{number}"),
    (re.compile(r"loading bin (?P<images>[1-9]\d*)"), "{images} images decoded"),
    (re.compile(r"ver (?P<set>\S+)"), "{set} is loaded"),
    (
        re.compile(r".*Running performance tests to find the best convolution algorithm.*"),
        "cuDNN is choosing its fastest convolutions, which can take a while",
    ),
)


@dataclass(frozen=True)
class Remark:
    """What a line says to the user.

    Attributes:
        text: in which words.
        is_warning: whether it stays of interest after the first step.
    """

    text: str
    is_warning: bool


def read_remark(line: str) -> Remark | None:
    """Return what a line of the script says to the user; None if it says nothing."""
    if warned := _WARNING.fullmatch(line):
        return Remark(warned["words"], is_warning=True)
    for pattern, words in _PATTERNS:
        if found := pattern.fullmatch(line):
            return Remark(words.format(**found.groupdict()), is_warning=False)
    return None
