"""How a run is watched: its event files, the alarms, and the display on a terminal."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.runs.event_files import EventFiles
from mfn_patcher.runs.events import Event
from mfn_patcher.runs.log import EventDispatcher
from mfn_patcher.training import process
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.watch.alarms import Alarm, Alarms
from mfn_patcher.training.watch.display import Display, terminal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Supervision:
    """How runs are watched.

    Attributes:
        keep_going: whether to keep training on a NaN or Inf value.
        gate: whether to refuse to start from a stage whose LFW accuracy is at chance level.
        display: whether to show a display on the terminal in place of the script's output.
        tensorboard: whether to write event files of TensorBoard.
    """

    keep_going: bool = False
    gate: bool = True
    display: bool = False
    tensorboard: bool = False


DEFAULT = Supervision()


class RunWatcher(contextlib.ExitStack):
    """Watches one run, for `process.run`.

    Args:
        plan: plan of the stage.
        prefix: path prefix of its checkpoints; absolute.
        folder: folder of the run.
        supervision: how it is watched.
        output: gets the script's output, unless there is a display.
        others: returns what the other ranks do, a line for each.

    Attributes:
        output: where the script's output goes.
    """

    def __init__(
        self,
        plan: StagePlan,
        prefix: Path,
        folder: Path,
        supervision: Supervision,
        output: BinaryIO,
        *,
        others: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        super().__init__()
        self.output = output
        self._keep_going = supervision.keep_going
        self._stop_reason: str | None = None
        self._files = self.enter_context(EventFiles(folder))
        self._display: Display | None = None
        alarms = Alarms(prefix, self._raise_alarm)
        if supervision.display:
            self._display = Display(
                plan.stage.title,
                folder,
                plan.steps,
                plan.batch_size,
                terminal(),
                others=others,
            )
            self.enter_context(self._display)
            self.output = self.enter_context(Path(os.devnull).open("wb"))  # noqa: SIM115
        listeners = (self._display, alarms) if self._display else (alarms,)
        consumers: list[Callable[[Event], None]] = [*listeners]
        if supervision.tensorboard:
            from mfn_patcher.runs.tensorboard import TensorBoardFile  # noqa: PLC0415  (optional)

            consumers.append(self.enter_context(TensorBoardFile(folder)))
        self._dispatcher = EventDispatcher(self._files, *consumers, watchers=listeners)

    def heard(self, chunk: bytes) -> None:
        """Take the output since the last call; empty at the end."""
        self._dispatcher.heard(chunk)

    def tick(self) -> None:
        """Do what is due.

        Raises:
            Stop: an alarm says that there is no point in continuing.
        """
        self._dispatcher.tick()
        if self._stop_reason is not None:
            raise process.Stop(self._stop_reason)

    def _raise_alarm(self, alarm: Alarm) -> None:
        self._files([alarm])
        if self._display:
            self._display(alarm)
        else:
            _LOG.warning("%s", alarm.message)
        if alarm.stops and not self._keep_going:
            self._stop_reason = alarm.message
