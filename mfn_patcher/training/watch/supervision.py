"""How runs are watched: the files of the record, the alarms, the display, and the gate."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs.events import EventFiles, Watch, read_verifications
from mfn_patcher.training import process
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.watch.alarms import CHANCE, Alarm, Alarms
from mfn_patcher.training.watch.display import Display, terminal


class GateError(MfnPatchError):
    """The stage before has learned nothing."""


@dataclass(frozen=True)
class Supervision:
    """How runs are watched.

    Attributes:
        keep_going: Go on after values that are infinite or no numbers.
        gate: Refuse to start from a stage whose LFW accuracy is at chance.
        display: On the terminal, in place of the script's output.
    """

    keep_going: bool = False
    gate: bool = True
    display: bool = False


AS_USUAL = Supervision()


class Watching(contextlib.ExitStack):
    """All that watches one run, for `process.run`.

    Args:
        plan: Of its stage.
        prefix: Of its checkpoints; absolute.
        folder: Of its record.
        supervision: How it is watched.
        output: Gets the script's output, unless there is a display.
        report: Gets a line an alarm, unless there is a display.

    Attributes:
        output: What gets the script's output.
        watch: Takes it too.
    """

    def __init__(
        self,
        plan: StagePlan,
        prefix: Path,
        folder: Path,
        supervision: Supervision,
        *,
        output: BinaryIO,
        report: Callable[[str], None],
    ) -> None:
        super().__init__()
        self.output = output
        self._report = report
        self._keep_going = supervision.keep_going
        self._why: str | None = None
        self._files = self.enter_context(EventFiles(folder, report))
        self._display: Display | None = None
        alarms = Alarms(prefix, self._sound)
        if supervision.display:
            title = f"{plan.stage.title}, {folder.name}"
            self._display = Display(title, plan.steps, plan.batch_size, terminal())
            self.enter_context(self._display)
            self.output = self.enter_context(Path(os.devnull).open("wb"))  # noqa: SIM115
            self.watch = Watch(
                self._files, self._display, alarms, listeners=[self._display, alarms]
            )
        else:
            self.watch = Watch(self._files, alarms, listeners=[alarms])

    def tick(self) -> None:
        """Do what is due.

        Raises:
            Stop: Going on makes no sense.
        """
        self.watch.tick()
        if self._why is not None:
            raise process.Stop(self._why)

    def _sound(self, alarm: Alarm) -> None:
        self._files([alarm])
        if self._display:
            self._display(alarm)
        else:
            self._report(f"warning: {alarm.message}")
        if alarm.stops and not self._keep_going:
            self._why = alarm.message


def check_gate(title: str, writer: Path, file: Path) -> None:
    """Refuse to spend days on a checkpoint that has learned nothing.

    Args:
        title: Of the stage that starts from it.
        writer: The folder of the run that saved it.
        file: The checkpoint.

    Raises:
        GateError: The last LFW accuracy before it was saved is at chance.
    """
    saved = file.stat().st_mtime + 1  # file systems that keep whole seconds
    accuracies = [
        entry.accuracy
        for entry in read_verifications(writer)
        if entry.set == "lfw" and entry.time and entry.time.timestamp() <= saved
    ]
    # NaN, from a training that diverged, is not at least anything.
    if accuracies and not accuracies[-1] >= CHANCE:
        raise GateError(
            f"{title} would start from {file.name}, whose LFW accuracy is {accuracies[-1]:.2%}: "
            f"chance. Its run is in {writer}",
            remedy="Look at the data set and the learning rate of that stage. Pass "
            "--skip-accuracy-gate to start anyway.",
        )
