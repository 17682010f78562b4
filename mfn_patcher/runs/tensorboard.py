"""A run as an event file of TensorBoard, written while it goes."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.remedies import install
from mfn_patcher.runs.events import Event, LearningRate, Speed, Verification

try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event as Record
    from tensorboardX.summary import scalar
except ImportError as error:
    raise MfnPatchError(
        f"event files of TensorBoard require tensorboardX, which cannot be imported: {error}",
        remedy=f"Install it with `{install('tensorboard')}`.",
    ) from error

_LOG = logging.getLogger(__name__)


class TensorBoardFile:
    """Writes the events of a run that have a step, in its folder.

    If the file can no longer be written, for example because the disk is full, a warning is logged
    once and the run continues without it.

    Args:
        folder: folder of the run. TensorBoard names the run after it.
    """

    def __init__(self, folder: Path) -> None:
        # tensorboardX's own SummaryWriter writes from a thread. Once that has failed, each further
        # event would wait for it, and with it the run.
        self._writer: EventsWriter | None = None
        self._folder = folder
        self._rate: float | None = None

    def __enter__(self) -> TensorBoardFile:
        try:
            self._writer = EventsWriter(str(self._folder / "events"))
            self._writer.flush()
        except OSError as error:
            self._give_up(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            try:
                self._writer.close()
            except OSError as error:
                self._give_up(error)

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, LearningRate):
            self._rate = event.value
        elif isinstance(event, Speed) and event.step is not None:
            self._write(event.step, "train/loss", event.loss)
            self._write(event.step, "train/accuracy", event.accuracy)
            self._write(event.step, "train/images_per_second", event.samples_per_second)
            self._write(event.step, "train/learning_rate", self._rate)
        elif isinstance(event, Verification):
            self._write(event.step, f"verification/{event.set}", event.accuracy)

    def _write(self, step: int, name: str, value: float | None) -> None:
        if self._writer is None or value is None:
            return
        record = Record(step=step, wall_time=time.time(), summary=scalar(name, value))
        try:
            self._writer.write_event(record)
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _LOG.warning("no longer writing an event file of TensorBoard: %s", error.strerror)
        self._writer = None
