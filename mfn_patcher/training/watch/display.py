"""The display of a running stage on a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from mfn_patcher.printable import one_line, visible
from mfn_patcher.runs.events import Event, LearningRate, Progress, Speed
from mfn_patcher.runs.summary import RunSummary, percent, steps_done
from mfn_patcher.training.watch.alarms import Alarm

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REFRESH_SECONDS = 1.0
_LINE = 200  # characters kept of the script's last line


class Display:
    """Shows the events of a run; the script's own lines are in its log.

    Args:
        title: title of the run.
        steps: number of steps; None without a limit.
        batch_size: images per step.
        console: the console to draw on.
        clock: returns a time in seconds.
    """

    def __init__(
        self,
        title: str,
        steps: int | None,
        batch_size: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live  # noqa: PLC0415  (needed on terminals only)

        self._title = title
        self._steps = steps
        self._batch_size = batch_size
        self._clock = clock
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._summary = RunSummary(1)
        self._speed: Speed | None = None
        self._first: tuple[float, int] | None = None
        self._rate: float | None = None
        self._alarms: list[Alarm] = []
        self._line = ""
        self._rest = b""
        self._began = clock()
        self._drawn = -math.inf

    def __enter__(self) -> Display:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.update(self.render(), refresh=True)
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Alarm):
            self._alarms.append(event)
            return
        if isinstance(event, Speed):
            self._speed = event
            if self._first is None and event.step is not None:
                self._first = self._clock(), event.step
            return  # the display has no curve
        self._summary.add(event)
        if isinstance(event, LearningRate):
            self._rate = event.value
        elif isinstance(event, Progress):
            self._rate = event.learning_rate

    def heard(self, chunk: bytes) -> None:
        """Note the last line, which is shown until the first steps are done."""
        *lines, self._rest = (self._rest + chunk[-4 * _LINE :]).split(b"\n")
        self._rest = self._rest[-4 * _LINE :]
        words = [line for line in lines if line.strip()]
        if words:
            self._line = words[-1].decode(errors="replace").strip()[:_LINE]

    def tick(self) -> None:
        """Redraw if the refresh interval has passed."""
        now = self._clock()
        if now - self._drawn >= _REFRESH_SECONDS:
            self._drawn = now
            self._live.update(self.render(), refresh=True)

    def mean_speed(self) -> float | None:
        """Return images/s over the whole run, including verification and saving."""
        if self._first is None or self._speed is None or self._speed.step is None:
            return None
        seconds, steps = self._clock() - self._first[0], self._speed.step - self._first[1]
        return steps * self._batch_size / seconds if steps > 0 and seconds > 0 else None

    def remaining(self) -> float | None:
        """Return the remaining seconds, estimated from the mean speed."""
        speed = self.mean_speed()
        if speed is None or self._steps is None or self._speed is None:
            return None
        return max(0, self._steps - (self._speed.step or 0)) * self._batch_size / speed

    def render(self) -> RenderableType:
        """Return the display's content."""
        from rich.console import Group  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        last = (self._speed.step if self._speed else None) or self._summary.last_step or 0
        step = steps_done(last, self._steps)
        head = Table.grid(padding=(0, 2))
        total = f" of {self._steps:,}" if self._steps else ""
        done = f"{step / self._steps:.1%}" if self._steps else ""
        bar = ProgressBar(total=self._steps, completed=step, width=24) if self._steps else ""
        head.add_row(Text(one_line(self._title), style="bold"), f"step {step:,}{total}", bar, done)
        parts: list[RenderableType] = [head, Text("   ".join(self._readings()))]
        if self._summary.verifications:
            parts.append(self._verifications())
        if self._summary.checkpoints:
            checkpoint = self._summary.checkpoints[-1]
            saved = f"checkpoint {checkpoint.number} saved: {one_line(str(checkpoint.path))}"
            parts.append(Text(saved, overflow="ellipsis"))
        if self._speed is None and self._line:
            line = one_line(self._line)
            parts.append(Text(line, style="dim", overflow="ellipsis", no_wrap=True))
        parts += [Text(f"! {visible(alarm.message)}", style="bold red") for alarm in self._alarms]
        return Group(*parts)

    def _readings(self) -> list[str]:
        readings = [f"{duration(self._clock() - self._began)} elapsed"]
        remaining, mean = self.remaining(), self.mean_speed()
        if remaining is not None:
            readings.append(f"{duration(remaining)} left")
        if self._speed:
            speed = f"{self._speed.samples_per_second:,.4g} images/s"
            readings.append(f"{speed} (mean {mean:,.4g})" if mean else speed)
        if self._rate is not None:
            readings.append(f"lr {self._rate:g}")
        if self._speed and self._speed.accuracy is not None:
            readings.append(f"accuracy {self._speed.accuracy:.4f}")
        if self._speed and self._speed.loss is not None:
            readings.append(f"loss {self._speed.loss:.4f}")
        return readings

    def _verifications(self) -> RenderableType:
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("set", "step", "accuracy", "best", "at step"):
            table.add_column(column, justify="left" if column == "set" else "right")
        best = self._summary.best()
        last = {verification.set: verification for verification in self._summary.verifications}
        for name, now in last.items():
            row: list[RenderableType] = [
                Text(one_line(name)),
                f"{now.step:,}",
                f"{percent(now.accuracy)}%",
            ]
            if name in best:
                row += [f"{percent(best[name].accuracy)}%", f"{best[name].step:,}"]
            table.add_row(*row)
        return table


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
