"""Exporting a checkpoint: made aside, proven with the format's own runtime, then published."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfn_patcher.dataset.property_file import IMAGE_SIDE
from mfn_patcher.engine import MXNET, choice
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.evaluation.model import Model
from mfn_patcher.export import card as cards
from mfn_patcher.export import pnnx
from mfn_patcher.export.card import Card, Effect
from mfn_patcher.export.images import Pixels, proof_images
from mfn_patcher.export.latency import measure
from mfn_patcher.export.proof import HALF, SINGLE, Agreement, Limits, agreement, parting, worst
from mfn_patcher.export.runtime import load, running
from mfn_patcher.remedies import install
from mfn_patcher.training import interpreter, record
from mfn_patcher.training.interpreter import InterpreterError
from mfn_patcher.training.runs import Run

FORMATS = ("slim", "onnx", "ncnn")
_PROBE = Path(__file__).parents[1] / "probes" / "export.py"
_RUNS = 30
# Large networks, on slow and busy machines.
_SECONDS = 3600


class ExportError(MfnPatchError):
    """A checkpoint can't be exported."""


class NotEqualError(ExportError):
    """What was exported does not compute what MXNet does; no file is left."""

    exit_code = ExitCode.VERIFICATION


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Of the files.
        files: Of the model, then its card as JSON and as Markdown.
        card: The card.
    """

    folder: Path
    files: tuple[Path, ...]
    card: Card


def names(model: Model, form: str, *, half: bool) -> tuple[str, ...]:
    """Return the names of the files of an export: the model's, then those of its card."""
    (number,) = model.checkpoints
    stem = model.prefix.name
    if form == "slim":
        # As MXNet's load_checkpoint() looks for them.
        base = f"{stem}-slim-{number:04d}"
        return f"{stem}-slim-symbol.json", f"{base}.params", f"{base}.json", f"{base}.md"
    base = f"{stem}-{number:04d}{'-fp16' * half}"
    files = (f"{base}.onnx",) if form == "onnx" else (f"{base}.param", f"{base}.bin")
    return *files, f"{files[0]}.json", f"{files[0]}.md"


def export(
    workspace: Path,
    model: Model,
    form: str,
    folder: Path,
    *,
    python: str,
    environment: Mapping[str, str],
    half: bool = False,
    verification_set: Path | None = None,
) -> Exported:
    """Export one checkpoint, and prove the result.

    Everything is made in a temporary folder; the last step gives it its place.

    Args:
        workspace: Its runs are looked into for the one that saved the checkpoint.
        model: Of one checkpoint.
        form: One of `FORMATS`.
        folder: To write into; made if it is missing.
        python: The training interpreter.
        environment: The variables to start from.
        half: Half precision; not for slim.
        verification_set: Whose images to prove it with; drawn ones if None.

    Raises:
        ExportError: There is something in the way, or the checkpoint can't be exported.
        NotEqualError: The result computes something else.
        InterpreterError: The interpreter has no usable MXNet.
        ConversionError: There is no converter to ncnn, or it failed.
        RuntimeMissingError: The format's runtime is missing.
    """
    targets = names(model, form, half=half)
    _refuse_existing(folder, targets)
    images, images_from = proof_images(verification_set)
    facts = interpreter.inspect(python, choice.without_package(environment))
    engines = choice.Engines(facts, environment, "")
    # What writes ONNX is in MXNet alone.
    variables = engines.variables(MXNET)
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    folder.mkdir(parents=True, exist_ok=True)
    (checkpoint,) = model.checkpoints.values()
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as aside:
        made = Path(aside)
        files = tuple(made / name for name in targets[:-2])
        making = _Making(model, form, half, files, images, engines, variables)
        answer = making.write()
        there, runtime = making.prove()
        run = _writer(workspace, model, checkpoint)
        card = Card(
            format=form,
            precision="fp16" if half else "fp32",
            files=tuple(map(cards.describe, files)),
            checkpoint=cards.describe(checkpoint),
            run=run.name if run else None,
            chain_commit=run.record.get("chain_commit") if run else None,
            accuracies=_accuracies(run, next(iter(model.checkpoints))),
            parameters=answer["parameters"],
            scaling=tuple((name, value) for name, value in answer["scaling"]),
            side=IMAGE_SIDE,
            length=answer["length"],
            folded=answer.get("folded", 0),
            subnormal=answer["subnormal"],
            flushed=answer.get("flushed", 0),
            effect=making.effect(),
            images=len(images),
            images_from=images_from,
            reference=f"MXNet {answer['mxnet']}",
            runtime=runtime or f"MXNet {answer['mxnet']}",
            agreement=there,
            limits=making.limits,
            tool=importlib.metadata.version("mfn-patcher"),
        )
        cards.write(card, *(made / name for name in targets[-2:]))
        _publish(made, folder, targets)
    return Exported(folder, tuple(folder / name for name in targets), card)


@dataclass(frozen=True)
class _Making:
    """An export on its way, in a folder that nothing else is in.

    Attributes:
        model: Of one checkpoint.
        form: One of `FORMATS`.
        half: Half precision.
        files: To write.
        images: To prove it with.
        python: The training interpreter.
        variables: Of its environment.
    """

    model: Model
    form: str
    half: bool
    files: tuple[Path, ...]
    images: Pixels
    engines: choice.Engines
    variables: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where all is made."""
        return self.files[0].parent

    @property
    def limits(self) -> Limits:
        """What the result must keep."""
        return HALF if self.half else SINGLE

    @property
    def _unflushed(self) -> Path:
        """The network with subnormal weights, if it has any."""
        return self.folder / f"unflushed{self.files[0].suffix}"

    def write(self) -> dict[str, Any]:
        """Write the files; return what the probe says of the network."""
        np.save(self.folder / "images.npy", self.images)
        if self.form != "ncnn":
            return self._ask(format=self.form, fp16=self.half, files=list(map(str, self.files)))
        pnnx.find()  # before seconds of work that would be in vain
        onnx = self.folder / "network.onnx"
        answer = self._ask(format="onnx", fp16=False, files=[str(onnx)])
        convert = functools.partial(pnnx.convert, nodes=answer["nodes"], half=self.half)
        convert(onnx, self.files[0])
        unflushed = self._unflushed.with_suffix(".onnx")
        if unflushed.exists():
            convert(unflushed, self._unflushed)
        return answer

    def prove(self) -> tuple[Agreement, str | None]:
        """Return how near the files come to MXNet, and what ran them, if it wasn't MXNet.

        Raises:
            NotEqualError: They don't come near enough.
        """
        reference = np.load(self.folder / "embeddings.npy")
        if self.form == "slim":
            found, runtime = np.load(self.folder / "found.npy"), None
        else:
            network = load(self.files[0], threads=1)
            with running(self.files[0]):
                found, runtime = network.embed(self.images), network.name
        there = agreement(reference, found)
        if there.within(self.limits):
            return there, runtime
        image = worst(reference, found, self.limits)
        raise NotEqualError(
            f"{self.files[0].name} does not compute what MXNet does: {_gap(there)}; "
            f"most on image {image} of {len(self.images)}{self._where(image)}",
            remedy="No file was left."
            + (" Half precision holds numbers up to 65504: try without --fp16." * self.half),
        )

    def _where(self, image: int) -> str:
        """Say where the export leaves MXNet's layers, for one image."""
        if self.form == "slim":
            return ""
        self._ask(layers=image)
        every = self.folder / "layers.onnx" if self.form == "onnx" else self.files[0]
        found = load(every, threads=1).layers(self.images[image : image + 1])
        with np.load(self.folder / "layers.npz") as reference:
            parted = parting(reference, found, self.limits)
        return f", where they part at layer {parted[0]} ({_gap(parted[1])})" if parted else ""

    def effect(self) -> Effect | None:
        """Return what setting subnormal weights to zero does to the latency."""
        if not self._unflushed.exists():
            return None
        before, after = measure([self._unflushed, self.files[0]], threads=1, runs=_RUNS)
        return Effect(before.median, after.median)

    def _ask(self, **request: Any) -> dict[str, Any]:
        (checkpoint,) = self.model.checkpoints.values()
        request |= {
            "symbol": str(self.model.symbol),
            "params": str(checkpoint),
            "images": str(self.folder / "images.npy"),
            "work": str(self.folder),
        }
        try:
            answer = interpreter.ask(
                self.engines.interpreter.path,
                self.variables,
                _PROBE,
                json.dumps(request),
                seconds=_SECONDS,
            )
        except InterpreterError:
            # To import MXNet takes seconds: whether it can be is asked only now.
            self.engines.choose(MXNET)
            raise
        if "missing" in answer:
            self.engines.choose(MXNET)
        if "error" in answer:
            raise ExportError(
                f"{checkpoint} can't be exported: {answer['error']}",
                remedy=f"Install it with `{install('onnx', self.engines.interpreter.path)}`."
                if "missing" in answer
                else "",
            )
        return answer


def _gap(there: Agreement) -> str:
    return (
        f"least cosine {there.cosine:.9f}, largest difference {there.difference:.2g} of numbers up "
        f"to {there.scale:.3g}"
    )


def _writer(workspace: Path, model: Model, checkpoint: Path) -> Run | None:
    found = record.find_writer(workspace / "runs", checkpoint, model.prefix)
    return Run(*found) if found else None


def _accuracies(run: Run | None, number: int) -> dict[str, float]:
    """Return what the run measured at the step of a checkpoint."""
    told = run.summary if run else None
    if told is None:
        return {}
    steps = {event.step for event in told.checkpoints if event.number == number}
    return {event.set: event.accuracy for event in told.verifications if event.step in steps}


def _refuse_existing(folder: Path, targets: tuple[str, ...]) -> None:
    there = [name for name in targets if os.path.lexists(folder / name)]
    if there:
        raise ExportError(
            f"{folder} already holds {', '.join(there)}; nothing is overwritten",
            remedy="Name another folder with --output, or move them away.",
        )


def _publish(made: Path, folder: Path, targets: tuple[str, ...]) -> None:
    """Give files their place, all or none; what another program put there meanwhile stays."""
    done: list[Path] = []
    try:
        for name in targets:
            _place(made / name, folder / name)
            done.append(folder / name)
    except OSError as error:
        for path in done:
            path.unlink()
        if isinstance(error, FileExistsError):
            _refuse_existing(folder, targets)
        raise


def _place(made: Path, path: Path) -> None:
    """Give a file its place, which nothing may have: whole or not at all."""
    try:
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:
        # There are file systems without hard links.
        with made.open("rb") as source, path.open("xb") as target:
            try:
                shutil.copyfileobj(source, target)
            except BaseException:
                path.unlink()
                raise
