"""The display of a running stage on a terminal."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.printable import one_line, visible
from mfn_patcher.runs.events import Event, LearningRate, Progress, Speed
from mfn_patcher.runs.summary import RunSummary, percent, steps_done
from mfn_patcher.training.watch.alarms import Alarm
from mfn_patcher.training.watch.progress import PROGRESS, WorkerProgress, read_progress
from mfn_patcher.training.watch.script_lines import read_remark

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from mfn_patcher.live import TerminalLive

_REFRESH_SECONDS = 1.0
_LONGEST = 1000  # bytes of a line that is read
_WARNING_LINES = 3
_SHORTEST = 0.1  # seconds from which on a speed is computed
_COLUMNS = ("set", "accuracy", "at step", "best", "at step")
# What the training package does besides training, in its own words and in ours.
_ACTIVITIES = {"verify": "verifying", "save": "saving a checkpoint", "end": "ending"}


class Display:
    """Shows the events of a run, and what else the script says to a user; its log has all lines.

    Args:
        title: title of the stage.
        folder: folder of the run, where the training package may say where it is.
        steps: number of steps; None without a limit.
        batch_size: images per step.
        console: the console to draw on.
        others: returns what the other ranks do, a line for each.
        clock: returns a time in seconds.
    """

    def __init__(
        self,
        title: str,
        folder: Path,
        steps: int | None,
        batch_size: int,
        console: Console,
        *,
        others: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._name = folder.name
        self._steps = steps
        self._batch_size = batch_size
        self._clock = clock
        self._console = console
        self._progress = folder / PROGRESS
        self._others = others
        self._file: int | None = None
        self._worker: WorkerProgress | None = None
        self._live: TerminalLive | None = None
        self._summary = RunSummary(1)
        self._speed: Speed | None = None
        self._first: tuple[float, int] | None = None
        self._rate: float | None = None
        self._alarms: list[Alarm] = []
        self._remark = ""
        self._warning = ""
        self._rest = b""
        self._began = clock()
        self._drawn: tuple[float, object] = -math.inf, None

    def __enter__(self) -> Display:
        from rich.console import Group  # noqa: PLC0415  (needed on terminals only)

        from mfn_patcher.live import TerminalLive  # noqa: PLC0415

        self._live = TerminalLive(
            self._console,
            lambda: Group(*self.render(self._console.width)),
        )
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        if self._worker:
            self._worker = dataclasses.replace(self._worker, phase="")  # it has ended
        if self._live:
            self._live.stop()
        if self._file is not None:
            os.close(self._file)

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Alarm):
            self._alarms.append(event)
            return
        if isinstance(event, Speed):
            self._speed = event
            self._reached(event.step)
            self._summary.last_step = event.step or self._summary.last_step
            return  # the display has no curve
        self._summary.add(event)
        if isinstance(event, LearningRate):
            self._rate = event.value
        elif isinstance(event, Progress):
            self._rate = event.learning_rate

    def heard(self, chunk: bytes) -> None:
        """Note what the script says to the user, most of it until the first step is done."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[:_LONGEST]
        for line in lines:
            remark = read_remark(line[:_LONGEST].decode(errors="replace").strip())
            if remark and remark.is_warning:
                self._warning = remark.text
            elif remark:
                self._remark = remark.text

    def tick(self) -> None:
        """Redraw if the refresh interval has passed or the terminal was resized."""
        now, size = self._clock(), self._console.size
        drawn, drawn_size = self._drawn
        if now - drawn >= _REFRESH_SECONDS or size != drawn_size:
            self._drawn = now, size
            self._look()
            if self._live:
                self._live.refresh()

    def _look(self) -> None:
        """Read where the training package is."""
        if self._file is None:
            try:
                self._file = os.open(self._progress, os.O_RDONLY)
            except OSError:
                return
        self._worker = read_progress(self._file) or self._worker
        if self._worker and self._is_training:
            self._reached(self._worker.step)

    def _reached(self, step: int | None) -> None:
        if self._first is None and step is not None:
            self._first = self._clock(), step

    @property
    def _is_training(self) -> bool:
        """Whether a step is done."""
        before = self._summary.resumed.step if self._summary.resumed else 0
        return self._speed is not None or bool(self._worker and self._worker.step > before)

    @property
    def step(self) -> int:
        """The last step that is known to be done."""
        done = max(self._summary.last_step or 0, self._worker.step if self._worker else 0)
        return steps_done(done, self._steps)

    @property
    def phase(self) -> str:
        """What happens before the first step."""
        summary = self._summary
        if summary.lr_steps:
            return "computing the first step; the engine may compile the network before it"
        if summary.training_set:
            return "loading the verification sets"
        if summary.arguments:
            return "building the network and reading the index of the training set"
        return "starting Python and loading the script and its engine"

    def mean_speed(self) -> float | None:
        """Return images/s over the whole run, including verification and saving."""
        if self._first is None:
            return None
        seconds, steps = self._clock() - self._first[0], self.step - self._first[1]
        if steps <= 0 or seconds < _SHORTEST:
            return None
        return steps * self._batch_size / seconds

    def remaining(self) -> float | None:
        """Return the remaining seconds, estimated from the mean speed; None if unknown.

        After the last step, the last verification can take minutes.
        """
        speed = self.mean_speed()
        if speed is None or self._steps is None or self.step >= self._steps:
            return None
        return (self._steps - self.step) * self._batch_size / speed

    def render(self, width: int) -> list[Text]:
        """Return the lines of the display, none of which is wider than `width` cells."""
        from rich.text import Text  # noqa: PLC0415

        from mfn_patcher import lines  # noqa: PLC0415

        title, name = (
            Text(one_line(self._title), style="bold"),
            Text(one_line(self._name), style="dim"),
        )
        shown = lines.flow([title, name], width)
        if self._is_training:
            shown += self._bar(width)
        else:
            shown += lines.wrap(Text(self.phase), self._console, width)
            remark = Text(one_line(self._remark), style="dim")
            shown += [lines.cut(remark, width)] if self._remark else []
        shown += lines.flow(self._readings(), width)
        for alarm in self._alarms:
            alarmed = Text(f"! {visible(alarm.message)}", style="bold red")
            shown += lines.wrap(alarmed, self._console, width)
        if self._warning:
            warned = Text(f"warning: {one_line(self._warning)}", style="yellow")
            shown += lines.wrap(warned, self._console, width)[:_WARNING_LINES]
        if self._summary.verifications:
            shown += lines.table([_COLUMNS, *self._verifications()], width)
        if self._summary.checkpoints:
            checkpoint = self._summary.checkpoints[-1]
            file = one_line(Path(checkpoint.path).name)
            saved = f"checkpoint {checkpoint.number} saved: {file}"
            shown.append(lines.cut(Text(saved), width))
        shown += [lines.cut(Text(one_line(other), style="dim"), width) for other in self._others()]
        return shown

    def _bar(self, width: int) -> list[Text]:
        from mfn_patcher.lines import bar_line, flow  # noqa: PLC0415

        if self._steps is None:
            return flow([f"step {self.step:,}"], width)
        text = f"step {self.step:,} of {self._steps:,}"
        if len(text) > width:
            text = f"{self.step:,}/{self._steps:,}"
        share = self.step / self._steps
        remaining = self.remaining()
        after = [f"{share:.1%}", *([] if remaining is None else [f"{duration(remaining)} left"])]
        return bar_line(text, after, share, self._console, width)

    def _readings(self) -> list[str]:
        readings = []
        if self._speed and self._speed.loss is not None:
            readings.append(f"loss {self._speed.loss:.4f}")
        if self._speed and self._speed.accuracy is not None:
            readings.append(f"accuracy {self._speed.accuracy:.4f}")
        mean = self.mean_speed()
        if self._speed:
            readings.append(f"{_rate(self._speed.samples_per_second)} images/s")
        if mean is not None:
            readings.append(f"mean {_rate(mean)}" if self._speed else f"{_rate(mean)} images/s")
        if self._rate is not None:
            readings.append(f"lr {self._rate:g}")
        if self._worker and self._worker.memory_used:
            readings.append(memory(self._worker.memory_used, self._worker.memory_total))
        readings.append(f"{duration(self._clock() - self._began)} elapsed")
        if self._worker and self._worker.phase in _ACTIVITIES:
            readings.append(_ACTIVITIES[self._worker.phase])
        return readings

    def _verifications(self) -> list[tuple[str, ...]]:
        best = self._summary.best()
        last = {verification.set: verification for verification in self._summary.verifications}
        return [
            (
                one_line(name),
                f"{percent(now.accuracy)}%",
                f"{now.step:,}",
                f"{percent(best[name].accuracy)}%" if name in best else "",
                f"{best[name].step:,}" if name in best else "",
            )
            for name, now in last.items()
        ]


def memory(used: int, total: int) -> str:
    """Return the memory in use, in a readable form.

    Args:
        used: bytes in use.
        total: bytes of the GPU; 0 on the CPU.
    """
    gib = 1 << 30
    if total:
        return f"GPU {used / gib:.1f}/{total / gib:.1f} GiB"
    return f"memory {used / gib:.1f} GiB"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Return a duration in a readable form, such as ``2 d 03:15`` or ``04:05:06``."""
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days} d {hours:02d}:{minutes:02d}"
    return f"{hours:02d}:{minutes:02d}:{int(seconds):02d}"


def terminal() -> Console:
    """Return the console of standard output."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False)
