"""Modules: training a symbol."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import metric as metrics
from . import random  # noqa: F401 - seeds PyTorch
from .base import MXNetError, OutOfScopeError, out_of_scope
from .context import Context, cpu
from .group import ExecutorGroup, bind, copy_parameter, split_evenly
from .initializer import Initializer, Uniform
from .io import DataBatch, DataDesc, DataIter
from .kvstore import KVStoreBase
from .metric import EvalMetric
from .model import BatchEndParam
from .ndarray import NDArray, torch_device, torch_type
from .optimizer import SGD
from .symbol import Symbol

__getattr__ = out_of_scope("mxnet.module")

Parameters = dict[str, NDArray]


class Module:
    """A symbol with parameters on one or several devices.

    Attributes:
        symbol: the network.
        binded: whether :meth:`bind` has been called.
        params_initialized: whether there are parameters.
        optimizer_initialized: whether there is an optimizer.
    """

    def __init__(
        self,
        symbol: Symbol,
        data_names: Sequence[str] = ("data",),
        label_names: Sequence[str] | None = ("softmax_label",),
        context: Context | Sequence[Context] | None = None,
    ) -> None:
        """Create a module.

        Args:
            symbol: the network.
            data_names: names of the arguments that are data.
            label_names: names of the arguments that are labels; missing ones are ignored.
            context: the devices, which share each batch; by default the CPU.

        Raises:
            MXNetError: A device does not exist.
        """
        contexts = [context] if isinstance(context, Context) else list(context or [cpu()])
        self._devices = [torch_device(each) for each in contexts]
        self.symbol = symbol
        arguments = symbol.list_arguments()
        missing = [name for name in data_names if name not in arguments]
        if missing:
            raise ValueError(f"the symbol has no argument {', '.join(missing)}")
        self.data_names = list(data_names)
        self.label_names = [name for name in label_names or () if name in arguments]
        inputs = (*self.data_names, *self.label_names)
        self._param_names = [name for name in arguments if name not in inputs]
        self._aux_names = symbol.list_auxiliary_states()
        self.output_names = symbol.list_outputs()
        self.binded = self.params_initialized = self.optimizer_initialized = False
        self._optimizer: SGD | None = None
        self._states: list[NDArray | None] | None = None
        self._store: KVStoreBase | None = None

    # Memory.

    def bind(
        self,
        data_shapes: Sequence[Any],
        label_shapes: Sequence[Any] | None = None,
        for_training: bool = True,
    ) -> None:
        """Allocate memory for the network.

        Args:
            data_shapes: name and shape of each data argument.
            label_shapes: name and shape of each label argument; None for no labels.
            for_training: whether to compute gradients.

        Raises:
            MXNetError: Shapes do not match, or the device has too little memory.
        """
        if self.binded:
            logging.warning("Already bound, ignoring bind()")
            return
        self.data_shapes = [_describe(item) for item in data_shapes]
        self.label_shapes = [_describe(item) for item in label_shapes or ()]
        self.for_training = for_training
        described = [*self.data_shapes, *self.label_shapes]
        names = (*self.data_names, *self.label_names)
        inputs = [item for item in described if item.name in names]
        kind = torch_type(self.data_shapes[0].dtype)
        gradients = self._param_names if for_training else None
        images = self.data_shapes[0].shape[0]
        executors = []
        for device, share in zip(self._devices, split_evenly(images, len(self._devices))):
            known = {item.name: (share, *item.shape[1:]) for item in inputs}
            executors.append(bind(self.symbol, device, known, kind, gradients))
        self._exec_group = ExecutorGroup(executors, self._param_names, images)
        self.binded = True

    # Parameters.

    def init_params(
        self,
        initializer: Initializer | None = None,
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
    ) -> None:
        """Initialise parameters and moving averages.

        Args:
            initializer: initializer of those that are not given; by default :class:`Uniform`.
            arg_params: parameters by name.
            aux_params: moving averages by name.
            allow_missing: whether given parameters may be incomplete; missing ones are drawn.
            force_init: whether to initialise again.

        Raises:
            MXNetError: A parameter is missing, or has another shape.
        """
        if self.params_initialized and not force_init:
            warnings.warn("Parameters already initialized; init_params call ignored.", stacklevel=2)
            return
        if not self.binded:
            raise MXNetError("call bind before initialising the parameters")
        executor, attributes = self._exec_group.execs[0], self.symbol.attr_dict()
        drawing = initializer or Uniform(0.01)
        for given, names, arrays in (
            (arg_params, self._param_names, executor.arg_dict),
            (aux_params, self._aux_names, executor.aux_dict),
        ):
            extra = sorted(set(given or ()) - set(names))
            if extra and not allow_missing:
                raise MXNetError(f"the network has no {', '.join(extra)}")
            for name in sorted(names):
                target = arrays[name]
                if given and name in given:
                    copy_parameter(name, given[name], target)
                elif given and not allow_missing:
                    raise MXNetError(f"{name} is missing")
                else:
                    drawing.fill(name, attributes.get(name, {}), target)
        self._exec_group.spread()
        self.params_initialized = True

    def get_params(self) -> tuple[Parameters, Parameters]:
        """Return copies of parameters and moving averages by name, on the CPU.

        Each device has moving averages of its own, of which this returns the mean.
        """
        return self._exec_group.read()

    def set_params(
        self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]
    ) -> None:
        """Set all parameters and moving averages."""
        self.init_params(None, arg_params, aux_params, force_init=True)

    # Steps.

    def forward(self, data_batch: DataBatch, is_train: bool | None = None) -> None:
        """Compute the outputs of a batch of any size.

        Args:
            data_batch: the batch; if it has no labels, those of the last batch are used.
            is_train: whether this is a training step; by default, whether the module is bound for
                training.
        """
        self._load(data_batch)
        self._exec_group.forward(self.for_training if is_train is None else is_train)

    def _load(self, data_batch: DataBatch) -> None:
        for name, given in self._named(data_batch):
            self._exec_group.load(name, given)

    def prepare(self, data_batch: DataBatch) -> None:
        """Begin to copy a batch to the devices, which keep computing; a step on it comes next."""
        for name, given in self._named(data_batch):
            self._exec_group.stage(name, given)

    def _named(self, batch: DataBatch) -> list[tuple[str, NDArray]]:
        """Return the arrays of a batch by name."""
        data, labels = zip(self.data_names, batch.data), zip(self.label_names, batch.label or ())
        return [*data, *labels]

    def backward(self, out_grads: Sequence[NDArray | None] | None = None) -> None:
        """Compute the gradients of the last training step."""
        self._exec_group.backward(out_grads)

    def forward_backward(self, data_batch: DataBatch) -> None:
        """Compute outputs and gradients of a batch."""
        self._load(data_batch)
        self._exec_group.forward_backward()

    def get_outputs(self) -> list[NDArray]:
        """Return the outputs of the last batch."""
        return self._exec_group.outputs()

    def init_optimizer(self, kvstore: Any = "local", optimizer: SGD | None = None) -> None:
        """Set the optimizer.

        Args:
            kvstore: ``local`` or ``device`` if this process trains alone; otherwise a store, which
                brings the parameters to start from and adds up the gradients of all workers.
            optimizer: the optimizer.

        Raises:
            OutOfScopeError: The optimizer or a store for several workers is only a name.
        """
        if self.optimizer_initialized:
            logging.warning("optimizer already initialized, ignoring...")
            return
        self._store = kvstore if isinstance(kvstore, KVStoreBase) else None
        if self._store is None and kvstore not in ("local", "device", None):
            raise OutOfScopeError(f"key-value store {kvstore}")
        if not isinstance(optimizer, SGD):
            raise OutOfScopeError(f"optimizer {optimizer!r}; an SGD object")
        workers = self._store.num_workers if self._store else 1
        wanted = 1.0 / (self._exec_group.batch_size * workers)
        if optimizer.rescale_grad != wanted:
            warnings.warn(
                "Optimizer created manually outside Module but rescale_grad is not normalized to "
                f"1.0/batch_size/num_workers ({optimizer.rescale_grad} vs. {wanted}). "
                "Is this intended?",
                stacklevel=2,
            )
        if not optimizer.idx2name:
            optimizer.idx2name = dict(enumerate(self._param_names))
        if self._store:
            parameters, averages = self.get_params()
            for name in self._param_names:
                self._store.init(name, parameters[name])
            self.set_params(parameters, averages)
        self._optimizer = optimizer
        self.optimizer_initialized = True

    def update(self) -> None:
        """Update the parameters with their gradients."""
        optimizer, group = self._optimizer, self._exec_group
        if optimizer is None:
            raise MXNetError("call init_optimizer before the first update")
        weights = [arrays[0] for arrays in group.param_arrays]
        if self._states is None:
            self._states = [optimizer.create_state(i, w) for i, w in enumerate(weights)]
        group.add_gradients()
        gradients = [arrays[0] for arrays in group.grad_arrays if arrays[0] is not None]
        if self._store:
            self._store.pushpull(self._param_names, gradients)
        optimizer.update(range(len(weights)), weights, gradients, self._states)
        group.spread_parameters()

    def update_metric(self, eval_metric: EvalMetric, labels: Sequence[NDArray]) -> None:
        """Add the last batch to a metric, as one batch per device."""
        group = self._exec_group
        parts = zip(*map(group.split, labels)) if labels else [()] * len(group.execs)
        for executor, part in zip(group.execs, parts):
            outputs = dict(zip(self.output_names, executor.outputs))
            eval_metric.update_dict(dict(zip(self.label_names, part)), outputs)

    def fit(
        self,
        train_data: DataIter,
        eval_data: None = None,
        eval_metric: Any = (),
        epoch_end_callback: Callable[..., None] | None = None,
        batch_end_callback: Callable[[BatchEndParam], None] | None = None,
        kvstore: Any = "local",
        optimizer: SGD | None = None,
        initializer: Initializer | None = None,
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_missing: bool = False,
        begin_epoch: int = 0,
        num_epoch: int = 1,
    ) -> None:
        """Train the module.

        Args:
            train_data: iterator of batches, which is reset after each epoch.
            eval_data: must be None.
            eval_metric: metric objects.
            epoch_end_callback: function of epoch, symbol, parameters and moving averages.
            batch_end_callback: function that is called after each step.
            kvstore: see :meth:`init_optimizer`.
            optimizer: see :meth:`init_optimizer`.
            initializer: see :meth:`init_params`.
            arg_params: see :meth:`init_params`.
            aux_params: see :meth:`init_params`.
            allow_missing: see :meth:`init_params`.
            begin_epoch: number of the first epoch.
            num_epoch: number of the last epoch plus 1.
        """
        if eval_data is not None:
            raise OutOfScopeError("Module.fit with eval_data")
        self.bind(train_data.provide_data, train_data.provide_label)  # type: ignore[attr-defined]
        self.init_params(initializer, arg_params, aux_params, allow_missing)
        self.init_optimizer(kvstore=kvstore, optimizer=optimizer)
        metric = metrics.create(eval_metric)
        for epoch in range(begin_epoch, num_epoch):
            begun = time.time()
            metric.reset()
            self._train_epoch(epoch, train_data, metric, batch_end_callback)
            logging.info("Epoch[%d] Time cost=%.3f", epoch, time.time() - begun)
            # The moving averages of all devices become their mean.
            parameters = self.get_params()
            self.set_params(*parameters)
            if epoch_end_callback is not None:
                epoch_end_callback(epoch, self.symbol, *parameters)
            train_data.reset()

    def _train_epoch(
        self,
        epoch: int,
        train_data: DataIter,
        metric: EvalMetric,
        callback: Callable[[BatchEndParam], None] | None,
    ) -> None:
        batches = iter(train_data)
        following: DataBatch | None = next(batches)
        number = 0
        on_gpu = self._devices[0].type == "cuda"
        while following is not None:
            batch = following
            self.forward_backward(batch)
            self.update()
            # While a GPU computes the step, it gets the next batch, before metrics wait for it.
            following = self._fetch(batches) if on_gpu else None
            self.update_metric(metric, batch.label or ())
            following = following if on_gpu else self._fetch(batches)
            last = following is None
            if last:
                values = metric.get_name_value()
            if callback is not None:
                callback(BatchEndParam(epoch, number, metric, {"end_of_batch": last}))
            number += 1
        for name, value in values:
            logging.info("Epoch[%d] Train-%s=%f", epoch, name, value)

    def _fetch(self, batches: Iterator[DataBatch]) -> DataBatch | None:
        batch = next(batches, None)
        if batch is not None:
            self.prepare(batch)
        return batch


def _describe(item: Any) -> DataDesc:
    return item if isinstance(item, DataDesc) else DataDesc(item[0], item[1])
