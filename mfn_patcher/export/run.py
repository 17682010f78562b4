"""Exporting a checkpoint: made aside, proven with the format's own runtime, then published."""

from __future__ import annotations

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

from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.children import interpreter
from mfn_patcher.children.programs.runtimes import Floats
from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.export import card as cards
from mfn_patcher.export import onnx_graph, pnnx, slim
from mfn_patcher.export.card import Card, Effect
from mfn_patcher.export.images import Pixels, proof_images
from mfn_patcher.export.latency import measure
from mfn_patcher.export.onnx_graph import Translated
from mfn_patcher.export.onnx_operators import UnsupportedError
from mfn_patcher.export.proof import HALF, SINGLE, Agreement, Limits, agreement, parting, worst
from mfn_patcher.export.runtime import RuntimeMissingError, load, running
from mfn_patcher.export.slim import Slim
from mfn_patcher.remedies import install
from mfn_patcher.runs import record
from mfn_patcher.runs.store import Run

FORMATS = ("slim", "onnx", "ncnn")
_PROGRAM = "export"
_RUNS = 30
# Large networks, on slow and busy machines.
_SECONDS = 3600


class ExportError(MfnPatchError):
    """A checkpoint can't be exported."""


class NotEqualError(ExportError):
    """What was exported does not compute what the engine does; no file is left."""

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
    wanted: str = AUTO,
    half: bool = False,
    verification_set: Path | None = None,
) -> Exported:
    """Export one checkpoint, and prove the result.

    Everything is made in a temporary folder; the last step gives it its place.

    Args:
        workspace: its runs are looked into for the one that saved the checkpoint.
        model: a single checkpoint.
        form: one of `FORMATS`.
        folder: the folder to write into; made if it is missing.
        python: the training interpreter.
        environment: the variables to start from.
        wanted: which engine the user asks for.
        half: half precision; not for slim.
        verification_set: the set whose images to prove it with; drawn ones if None.

    Raises:
        ExportError: There is something in the way, or the checkpoint can't be exported.
        NotEqualError: The result computes something else.
        InterpreterError: No engine can compute in the interpreter.
        ConversionError: There is no converter to ncnn, or it failed.
        RuntimeMissingError: What writes the format, or runs it, is missing.
    """
    targets = names(model, form, half=half)
    _refuse_existing(folder, targets)
    _check_writers(form)
    images, images_from = proof_images(verification_set)
    engine = choice.choose(wanted, python, environment, "")
    folder.mkdir(parents=True, exist_ok=True)
    (checkpoint,) = model.checkpoints.values()
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as aside:
        made = Path(aside)
        files = tuple(made / name for name in targets[:-2])
        making = _Making(model, form, half, files, images, engine, environment)
        written = making.write()
        there, runtime = making.prove(written)
        run = _writer(workspace, model, checkpoint)
        card = Card(
            format=form,
            precision="fp16" if half else "fp32",
            files=tuple(map(cards.describe, files)),
            checkpoint=cards.describe(checkpoint),
            run=run.name if run else None,
            chain_commit=run.record.get("chain_commit") if run else None,
            accuracies=_accuracies(run, next(iter(model.checkpoints))),
            parameters=written.slim.parameters,
            scaling=written.slim.scaling,
            side=IMAGE_SIDE,
            length=written.reference.shape[1],
            folded=written.folded,
            subnormal=written.slim.subnormal,
            flushed=written.flushed,
            effect=making.effect(),
            images=len(images),
            images_from=images_from,
            reference=engine.title,
            runtime=runtime,
            agreement=there,
            limits=making.limits,
            tool=importlib.metadata.version("mfn-patcher"),
        )
        cards.write(card, *(made / name for name in targets[-2:]))
        _publish(made, folder, targets)
    return Exported(folder, tuple(folder / name for name in targets), card)


def _check_writers(form: str) -> None:
    """Look for what writes a format before seconds of work that would be in vain."""
    if form == "ncnn":
        pnnx.find()
    if form != "slim":
        try:
            importlib.import_module("onnx")
        except ImportError as error:
            raise RuntimeMissingError(
                f"cannot import the package that writes ONNX files: {error}",
                remedy=f"Install it with `{install('onnx')}`.",
            ) from error


@dataclass(frozen=True)
class _Written:
    """What was written, and what it is held to.

    Attributes:
        slim: the network of the checkpoint.
        reference: the embeddings that the engine computes (images, length).
        network: the network in ONNX; None for slim.
        folded: number of batch norms folded into the layer before.
        flushed: number of subnormal weights set to zero.
    """

    slim: Slim
    reference: Floats
    network: Translated | None = None
    folded: int = 0
    flushed: int = 0


@dataclass(frozen=True)
class _Making:
    """An export on its way, in a folder that nothing else is in.

    Attributes:
        model: a single checkpoint.
        form: one of `FORMATS`.
        half: half precision.
        files: the files to write.
        images: the images to prove it with.
        engine: what computes the embeddings to reach.
        environment: the variables to start from.
    """

    model: Model
    form: str
    half: bool
    files: tuple[Path, ...]
    images: Pixels
    engine: Engine
    environment: Mapping[str, str]

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

    def write(self) -> _Written:
        """Write the files.

        Raises:
            ExportError: The checkpoint can't be exported.
            ConversionError: The converter to ncnn failed.
        """
        np.save(self.folder / "images.npy", self.images)
        prove = self.form == "slim"
        pair = self.files if prove else (self.folder / "symbol.json", self.folder / "params")
        self._ask(slim=list(map(str, pair)), prove=prove)
        found = slim.read(*pair)
        reference = np.load(self.folder / "embeddings.npy")
        if prove:
            return _Written(found, reference)
        try:
            translated = onnx_graph.translate(found.graph, found.arrays, self.images.shape[1:])
        except UnsupportedError as error:
            raise self._refused(error) from error
        unflushed, folded = onnx_graph.fold_batch_norms(translated)
        network, flushed = onnx_graph.flush_subnormal(unflushed)
        self._write_network(network, self.files[0])
        if flushed:
            self._write_network(unflushed, self._unflushed)
        return _Written(found, reference, network, folded, flushed)

    def _write_network(self, network: Translated, path: Path) -> None:
        from mfn_patcher.export import onnx_file  # noqa: PLC0415 - imports onnx, which slim needs not

        if self.form == "onnx":
            onnx_file.write(network, path, half=self.half)
            return
        onnx = path.with_suffix(".onnx")
        onnx_file.write(network, onnx)
        nodes = [
            (layer.outputs[0], [value for value in layer.inputs if isinstance(value, str)])
            for layer in network.layers
        ]
        pnnx.convert(onnx, path, nodes, half=self.half)

    def prove(self, written: _Written) -> tuple[Agreement, str]:
        """Return how near the files come to the engine, and what ran them.

        Raises:
            NotEqualError: They don't come near enough.
        """
        if self.form == "slim":
            found, runtime = np.load(self.folder / "found.npy"), self.engine.title
        else:
            network = load(self.files[0], threads=1)
            with running(self.files[0]):
                found, runtime = network.embed(self.images), network.name
        there = agreement(written.reference, found)
        if there.within(self.limits):
            return there, runtime
        image = worst(written.reference, found, self.limits)
        where = self._where(image, written.network) if written.network else ""
        raise NotEqualError(
            f"{self.files[0].name} does not compute what {self.engine.title} does: {_gap(there)}; "
            f"most on image {image} of {len(self.images)}{where}",
            remedy="No file was left."
            + (" Half precision holds numbers up to 65504: try without --fp16." * self.half),
        )

    def _where(self, image: int, network: Translated) -> str:
        """Say where the export leaves the engine's layers, for one image."""
        from mfn_patcher.export import onnx_file  # noqa: PLC0415 - see above

        self._ask(layers=image)
        every = self.files[0]
        if self.form == "onnx":
            every = self.folder / "layers.onnx"
            onnx_file.write(network, every, half=self.half, every=True)
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

    def _ask(self, **request: Any) -> None:
        """Have the engine compute.

        Raises:
            ExportError: It can't, by the fault of the checkpoint.
        """
        (checkpoint,) = self.model.checkpoints.values()
        request |= {
            "symbol": str(self.model.symbol),
            "params": str(checkpoint),
            "images": str(self.folder / "images.npy"),
            "work": str(self.folder),
        }
        variables = self.engine.environment(self.environment, "")
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        python = self.engine.interpreter.path
        answer = interpreter.ask(python, variables, _PROGRAM, json.dumps(request), seconds=_SECONDS)
        if "error" in answer:
            raise self._refused(answer["error"])

    def _refused(self, reason: object) -> ExportError:
        (checkpoint,) = self.model.checkpoints.values()
        return ExportError(f"cannot export {checkpoint}: {reason}")


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
