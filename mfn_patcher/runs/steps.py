"""Steps of a run, counted through its epochs."""

from __future__ import annotations


class StepCounter:
    """Turns epoch and batch, which number the script's speed lines, into steps.

    Epoch 0 begins with step 1. The length of an epoch follows from the data set and the batch size
    where the script has printed them, and otherwise from a step that is known in a later epoch.

    Attributes:
        per_epoch: steps per epoch; None while unknown.
    """

    def __init__(self) -> None:
        self.per_epoch: int | None = None
        self._epoch, self._before = 0, 0

    def step(self, epoch: int, batch: int) -> int | None:
        """Return the step of a batch; None if it is unknown."""
        if epoch == self._epoch:
            return self._before + batch + 1
        if self.per_epoch is None:
            return None
        return self._before + (epoch - self._epoch) * self.per_epoch + batch + 1

    def fix(self, step: int, epoch: int, batch: int) -> None:
        """Take the known step of a batch."""
        before = step - batch - 1
        if self.per_epoch is None and epoch > self._epoch:
            length, rest = divmod(before - self._before, epoch - self._epoch)
            if length > 0 and not rest:
                self.per_epoch = length
        self._epoch, self._before = epoch, before
