"""What works beside the script of a stage, on this host and on others."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.process import Ended


class Crew:
    """Nobody: a training on one host."""

    def begin(
        self, plan: StagePlan, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Prepare for the script, which starts next.

        Args:
            plan: Of the stage.
            folder: Of the run.
            environment: That the script would have alone.

        Returns:
            The environment that it gets, and arguments that are appended to its own.
        """
        del plan, folder
        return dict(environment), ()

    def wrap(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return what to start for the script's command."""
        return tuple(command)

    def started(self, pid: int) -> None:
        """Take the number of the script's process."""

    def received(self, number: signal.Signals) -> None:
        """Note a signal that is passed on to the script; called from a signal handler."""

    def guard(self) -> None:
        """Do what is due.

        Raises:
            Stop: The script must end, because something else did.
        """

    def end(self, ended: Ended | None) -> MfnPatchError | None:
        """Return what went wrong beside the script or with it, if that was not here alone.

        Args:
            ended: How the script did; None if the tool itself failed.
        """
        del ended
        return None


ALONE = Crew()
