"""Training metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .base import OutOfScopeError, out_of_scope
from .ndarray import NDArray

__getattr__ = out_of_scope("mxnet.metric")


class EvalMetric:
    """A mean over the batches since the last reset; subclasses define :meth:`update`.

    Attributes:
        name: name in logs.
        sum_metric: sum that :meth:`update` adds to.
        num_inst: count that the sum is divided by.
    """

    def __init__(
        self,
        name: str,
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        **_: Any,
    ) -> None:
        """Create a metric.

        Args:
            name: name in logs.
            output_names: outputs to pass to :meth:`update`; all by default.
            label_names: labels to pass to :meth:`update`; all by default.
        """
        self.name = str(name)
        self.output_names, self.label_names = output_names, label_names
        self.sum_metric: float = 0.0
        self.num_inst: float = 0
        self.reset()

    def reset(self) -> None:
        """Start a new mean."""
        self.sum_metric, self.num_inst = 0.0, 0

    def update(self, labels: list[NDArray], preds: list[NDArray]) -> None:
        """Add a batch."""
        raise NotImplementedError

    def update_dict(self, label: Mapping[str, NDArray], pred: Mapping[str, NDArray]) -> None:
        """Add a batch whose labels and outputs are given by name."""
        labels = [label[name] for name in self.label_names or label]
        outputs = [pred[name] for name in self.output_names or pred]
        self.update(labels, outputs)

    def get(self) -> tuple[Any, Any]:
        """Return the name and the value, which is NaN before the first update."""
        return self.name, self.sum_metric / self.num_inst if self.num_inst else float("nan")

    def get_name_value(self) -> list[tuple[str, float]]:
        """Return pairs of a name and a value."""
        return [self.get()]


class CompositeEvalMetric(EvalMetric):
    """Several metrics in one."""

    def __init__(self, metrics: Sequence[EvalMetric]) -> None:
        """Create a metric of several."""
        self.metrics = list(metrics)
        super().__init__("composite")

    def reset(self) -> None:
        """Start a new mean."""
        for metric in self.metrics:
            metric.reset()

    def update_dict(self, label: Mapping[str, NDArray], pred: Mapping[str, NDArray]) -> None:
        """Add a batch."""
        for metric in self.metrics:
            metric.update_dict(label, pred)

    def get(self) -> tuple[Any, Any]:
        """Return the names and the values."""
        pairs = self.get_name_value()
        return [name for name, _ in pairs], [value for _, value in pairs]

    def get_name_value(self) -> list[tuple[str, float]]:
        """Return pairs of a name and a value."""
        return [pair for metric in self.metrics for pair in metric.get_name_value()]


def create(metric: EvalMetric | Sequence[EvalMetric]) -> EvalMetric:
    """Return a metric itself, or a composite of several.

    Raises:
        OutOfScopeError: The metric is a name or a function, which only MXNet supports.
    """
    if isinstance(metric, EvalMetric):
        return metric
    if isinstance(metric, (list, tuple)):
        return CompositeEvalMetric([create(item) for item in metric])
    raise OutOfScopeError(f"mxnet.metric.create({metric!r})")
