"""The training curve of a run, in bounded memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CURVE_POINTS = 1 << 14


@dataclass(frozen=True)
class Point:
    """A point of the training curve.

    Attributes:
        step: its last step; None if the log does not say.
        samples_per_second: speed, verification included.
        accuracy: training accuracy, 0 to 1; None if it was not printed.
        loss: mean loss; None if it was not printed.
    """

    step: int | None
    samples_per_second: float
    accuracy: float | None
    loss: float | None = None


class Curve:
    """The training curve, with a bounded number of points.

    Attributes:
        points: the points, in order: one for each line of the log as long as there are few
            enough, then with neighbours merged in pairs.
        lines: number of lines.
        accuracy: the last training accuracy; None if none was printed.
        loss: the last loss; None if none was printed.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.lines = 0
        self.accuracy: float | None = None
        self.loss: float | None = None
        self._median: float | None = None
        self._lines_per_point = 1
        self._waiting: list[Point] = []
        self._seconds_per_sample = 0.0

    def add(self, point: Point) -> None:
        """Append the point of a line."""
        self.lines += 1
        if point.accuracy is not None:
            self.accuracy = point.accuracy
        if point.loss is not None:
            self.loss = point.loss
        if point.samples_per_second > 0:
            self._seconds_per_sample += 1 / point.samples_per_second
        self._waiting.append(point)
        if len(self._waiting) == self._lines_per_point:
            self.points.append(_merge(self._waiting))
            self._waiting.clear()
        if len(self.points) == CURVE_POINTS:
            pairs = zip(self.points[::2], self.points[1::2])
            self.points = [_merge(pair) for pair in pairs]
            self._lines_per_point *= 2

    @property
    def mean_speed(self) -> float | None:
        """Samples per second over the whole training, verification included."""
        # Every line stands for the same number of samples, so times are averaged, not speeds. Only
        # a run that resumes within an epoch of at most 20 steps has a first line of fewer.
        return self.lines / self._seconds_per_sample if self._seconds_per_sample else None

    @property
    def median_speed(self) -> float | None:
        """Samples per second of the median line, which is training without verification."""
        speeds = [point.samples_per_second for point in self.points]
        speeds = [speed for speed in speeds if math.isfinite(speed)]
        return statistics.median(speeds) if speeds else self._median

    def forget_points(self) -> None:
        """Keep only the speeds, for a curve that will not be drawn."""
        self._median = self.median_speed
        self.points.clear()


def _merge(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    speeds = [point.samples_per_second for point in points]
    return Point(
        points[-1].step,
        _harmonic_mean(speeds) if all(map(math.isfinite, speeds)) else math.nan,
        _mean([point.accuracy for point in points]),
        _mean([point.loss for point in points]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _harmonic_mean(speeds: Sequence[float]) -> float:
    # The one in `statistics` computes with fractions, which is 20 times slower.
    return len(speeds) / math.fsum(1 / speed for speed in speeds) if all(speeds) else 0.0
