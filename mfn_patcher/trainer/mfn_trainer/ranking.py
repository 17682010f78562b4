"""Which of several results is the best: the one rule, for all that names or keeps a best one."""

from __future__ import annotations

import math
from collections.abc import Mapping


def best_of(accuracies: Mapping[int, float]) -> int | None:
    """Return the number with the highest accuracy, and of equal ones the highest number.

    That is also what the script's own ``Accuracy-Highest`` does: a later checkpoint that is as
    accurate has been trained for longer.

    Args:
        accuracies: accuracies by the number of the checkpoint, or by the step.

    Returns:
        None if there is no accuracy that is a number.
    """
    known = {number: value for number, value in accuracies.items() if math.isfinite(value)}
    return max(known, key=lambda number: (known[number], number), default=None)
