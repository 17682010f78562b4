"""The seams of the patched training script: all that it calls of this package.

``train_softmax.py`` calls `parse_args`, and trains within the context that `begin` returns. Its
methods with names of upstream's or MXNet's functions, such as `Hooks.Module`, take the same
parameters and stand in for these; the others are called at the places that their names say. Where
this package is not on the path, the script does without: its ``hooks`` is None.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

import mxnet as mx

from . import arguments, checkpoint, layout, pretrained, verification
from .checkpoint import Content, State
from .engine import configure
from .feed import Feed, Settings
from .metrics import CrossEntropy, Speedometer
from .optimizer import SGD
from .order import FaceImageIter, SeededOrder, Shard, UpstreamOrder
from .progress import SAVE, START, VERIFY
from .seeds import reseed
from .workers import join

_RECORDS = "train.rec"
_CUSTOM_LOSS = 10  # from this loss type on, the script prints a loss of its own


def parse_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line by upstream's parser, with our arguments added."""
    return arguments.parse(parser)


def begin(args: argparse.Namespace) -> Hooks:
    """Begin training; end the script if its launcher has not set what it needs.

    Args:
        args: what `parse_args` returned; the script adds to it what it derives.
    """
    return Hooks(args)


class Hooks:
    """A training run, as the script calls it; a context manager.

    Attributes:
        rank: number of this worker, from 0; only worker 0 verifies and saves.
        workers: number of workers that train together.
        kvstore: what ``Module.fit`` takes as its key-value store.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        configure(args)
        self._args = args
        self._group = join(args.kvstore, args.progress)
        self.rank, self.workers = self._group.rank, self._group.size
        self.kvstore = self._group.store
        # Kept in checkpoints, and compared when a run is resumed.
        args.workers = self.workers
        self._feed: Feed | FaceImageIter | None = None
        self._module: Any = None
        self._optimizer: Any = None
        self._global_step: list[int] = []
        self._highest: list[float] = []
        self._accuracies: dict[str, float] = {}
        self._first_epoch, self._first_batch = 0, 0

    def __enter__(self) -> Hooks:
        self._group.progress.tell(START)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(self._feed, Feed):
            self._feed.close()
        return self._group.end(error)

    # -- parameters to start from ---------------------------------------------------------------

    @property
    def brings_parameters(self) -> bool:
        """Whether the parameters come from a checkpoint to resume from or from another worker."""
        return self._args.resume > 0 or self.rank > 0

    def load_checkpoint(self, prefix: str, epoch: int) -> tuple[None, Any, Any]:
        """Load the parameters of ``--pretrained``; stands in for ``mx.model.load_checkpoint``."""
        return (None, *pretrained.load(prefix, epoch))

    def fit_to(self, symbol: Any, arg_params: Any, aux_params: Any) -> tuple[Any, Any]:
        """Return those loaded parameters that fit the network."""
        prefix, number = self._args.pretrained.split(",")
        source = layout.checkpoint_file(prefix, int(number), layout.PARAMETERS)
        return pretrained.fit(str(source), symbol, self._shape, (arg_params, aux_params))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._args.image_channel, self._args.image_h, self._args.image_w

    # -- what trains ------------------------------------------------------------------------------

    def Module(self, **options: Any) -> Any:
        """Return the module; stands in for ``mx.mod.Module``."""
        self._module = self._group.module(**options)
        self._group.progress.use_devices(options["context"])
        return self._module

    def feed(self, source: FaceImageIter) -> Feed | FaceImageIter:
        """Return an iterator that gives the batches of upstream's, decoded ahead.

        Ends training if the workers of a cluster are about to train differently.
        """
        args = self._args
        if args.prefetch < 1 or args.data_workers < 0:
            raise SystemExit("--prefetch must be at least 1 and --data-workers at least 0")
        settings = Settings(
            path=str(Path(args.data_dir, _RECORDS)),
            workers=args.data_workers,
            prefetch=args.prefetch,
            classes=args.num_classes,
        )
        if args.seed is not None:
            order = SeededOrder(source, args.seed, Shard(self.rank, self.workers))
            self._feed = Feed(source, order, settings)
        else:
            self._feed = (
                Feed(source, UpstreamOrder(source), settings) if args.data_workers else source
            )
        self._images = len(source.imgidx)
        self._group.agree(vars(args), self._images)
        return self._feed

    def metrics(self) -> list[Any]:
        """Return metrics to print in addition to upstream's."""
        return [CrossEntropy()] if self._args.loss_type < _CUSTOM_LOSS else []

    def SGD(self, *, rescale_grad: float, **options: Any) -> Any:
        """Return the optimizer; stands in for ``mx.optimizer.SGD``."""
        # MXNet expects gradients of a sum over the batch, and warns of any other factor than one
        # through its size. The script's loss is the mean over the batch already.
        warnings.filterwarnings("ignore", "Optimizer created manually outside Module but rescale_")
        kind = mx.optimizer.SGD if self._args.seed is None else SGD
        self._optimizer = kind(rescale_grad=rescale_grad / self.workers, **options)
        return self._optimizer

    def Speedometer(self, batch_size: int, frequent: int) -> Speedometer:
        """Return what logs the speed; stands in for ``mx.callback.Speedometer``."""
        return Speedometer(batch_size * self.workers, frequent)

    # -- training ---------------------------------------------------------------------------------

    def start(
        self,
        arg_params: Any,
        aux_params: Any,
        global_step: list[int],
        save_step: list[int],
        highest: list[float],
    ) -> tuple[int, Any, Any]:
        """Start training, from a checkpoint if ``--resume`` says so.

        Args:
            arg_params: parameters to start from.
            aux_params: moving averages to start from.
            global_step: number of steps done, alone in a list that the script keeps up to date.
            save_step: number of the last checkpoint, alone in such a list.
            highest: highest accuracies so far; a list that the script keeps up to date.

        Returns:
            Number of the first epoch, parameters and moving averages.
        """
        made = {"Module": self._module, "feed": self._feed, "SGD": self._optimizer}
        for name, thing in made.items():
            if thing is None:
                raise RuntimeError(f"the script did not call hooks.{name} before hooks.start")
        args = self._args
        self._global_step, self._highest = global_step, highest
        if args.resume > 0:
            content = self._resume(global_step, highest)
            save_step[0] = args.resume
            arg_params, aux_params = content.arguments, content.auxiliary
        if args.seed is not None:
            reseed(args.seed, global_step[0], self.rank)
        self._group.progress.step = global_step[0]
        return self._first_epoch, arg_params, aux_params

    def _resume(self, global_step: list[int], highest: list[float]) -> Content:
        args = self._args
        loaded = None
        if self.rank == 0:
            loaded = checkpoint.load(args.prefix, args.resume, self._images, vars(args))
        state, content = self._group.share(loaded)
        # The module cannot use this before its optimizer creates its states.
        self._optimizer.initial = content.momenta or {}
        begun_with, self._optimizer.lr = self._optimizer.lr, state.lr
        global_step[0], highest[:] = state.step, state.highest
        per_epoch = self._images // (args.batch_size * self.workers)
        self._first_epoch, self._first_batch = divmod(state.step, per_epoch)
        if isinstance(self._feed, Feed):  # as with every seed
            self._feed.go_to(self._first_epoch, self._first_batch)
        print("resuming from", args.resume, "at step", state.step)
        if state.lr != begun_with:
            print("lr change to", state.lr)
        return content

    def step(self, param: Any) -> Any:
        """Finish a step, before it is logged and perhaps verified.

        Args:
            param: MXNet's ``BatchEndParam``.

        Returns:
            The same, with the number that the batch would have had without ``--resume``.
        """
        args, step = self._args, self._global_step[0]
        self._group.progress.step_done(step)
        verified = step % args.verbose == 0
        if verified or param.locals["end_of_batch"]:
            # MXNet's batch norm updates its moving averages in the backward pass and does not tell
            # the engine: what is read before that ends would lack the last step, at random.
            mx.nd.waitall()
        if verified:
            if self.workers > 1:
                self._group.average(self._module)
                reseed(args.seed, step, self.rank)
            if self.rank == 0:
                self._group.progress.tell(VERIFY)
        if param.epoch == self._first_epoch:
            return param._replace(nbatch=param.nbatch + self._first_batch)
        return param

    def verified(self) -> None:
        """Wait for the worker that verifies, after the steps at which it does."""
        if self._global_step[0] % self._args.verbose == 0:
            self._group.wait()

    # -- verifying and saving ----------------------------------------------------------------------

    def load_bin(self, path: str, image_size: list[int]) -> verification.VerificationSet:
        """Load a verification set; stands in for ``verification.load_bin``."""
        return verification.load(path, image_size)

    def test(
        self,
        data_set: verification.VerificationSet,
        mx_model: Any,
        batch_size: int,
        nfolds: int,
        data_extra: None,
        label_shape: None,
    ) -> tuple[float, float, float, float, float, Any]:
        """Verify on a set; stands in for ``verification.test``."""
        result = verification.test(data_set, mx_model, batch_size, nfolds)
        self._accuracies[data_set.name] = result.accuracy
        return 0.0, 0.0, result.accuracy, result.std, result.xnorm, result.embeddings

    def save_checkpoint(
        self, prefix: str, epoch: int, symbol: Any, arg_params: Any, aux_params: Any
    ) -> None:
        """Save a checkpoint; stands in for ``mx.model.save_checkpoint``."""
        args, step = self._args, self._global_step[0]
        self._group.progress.tell(SAVE)
        seeded = args.seed is not None
        state = State(
            step=step,
            lr=self._optimizer.lr,
            highest=self._highest,
            verification=self._accuracies,
            images=self._images,
            arguments=vars(args),
        )
        momenta = self._optimizer.momenta if seeded else None
        checkpoint.save(prefix, epoch, symbol, Content(arg_params, aux_params, momenta), state)
        if args.keep > 0:
            always = {int(number) for number in args.keep_always.split(",") if number}
            layout.remove_old(prefix, epoch, args.keep, always)
        if seeded:
            # So that this run continues exactly as one that resumes from the checkpoint.
            self._module.set_params(arg_params, aux_params)
            reseed(args.seed, step)
