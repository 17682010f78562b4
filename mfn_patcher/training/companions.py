"""Processes that run alongside the script of a stage, on this host and on others."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.process import ExitResult


class Companions:
    """Companions of a script that trains alone: none. Training on several hosts derives from it."""

    def begin(
        self, plan: StagePlan, folder: Path, environment: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Prepare for the script, which starts next.

        Args:
            plan: plan of the stage.
            folder: folder of the run.
            environment: the environment that the script would have without companions.

        Returns:
            The script's environment, and arguments to append to its own.
        """
        return dict(environment), ()

    def wrap(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command to start in place of the script's command."""
        return tuple(command)

    def started(self, pid: int) -> None:
        """Take the process id of the script."""

    def received(self, number: signal.Signals) -> None:
        """Take a signal that was passed on to the script; called from the signal handler."""

    def guard(self) -> None:
        """Do what is due; called many times a second.

        Raises:
            Stop: the script must end, because something else did.
        """

    def describe(self) -> Sequence[str]:
        """Return what the other ranks do, a line for each."""
        return ()

    def end(self, result: ExitResult | None) -> MfnPatchError | None:
        """Return what went wrong with the script or its companions, beyond this process.

        Args:
            result: how the script ended; None if the tool itself failed.
        """
        return None


ALONE = Companions()
