"""Exporting a checkpoint: written aside, compared with the engine, then moved to its place."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher import __version__
from mfn_patcher.checkpoints.selection import Model
from mfn_patcher.children.exported import Floats
from mfn_patcher.engine import AUTO, choice
from mfn_patcher.export import card as cards
from mfn_patcher.export import origin, publishing, reference
from mfn_patcher.export.card import Card, Latencies, Proof
from mfn_patcher.export.digest import digest
from mfn_patcher.export.errors import ExportError, MismatchError
from mfn_patcher.export.formats.base import Conversion, Format, Limits
from mfn_patcher.export.images import ProofImages, proof_images
from mfn_patcher.export.latency import measure
from mfn_patcher.export.onnx_operators import UnsupportedError
from mfn_patcher.export.proof import Agreement, agreement, first_mismatch, worst
from mfn_patcher.export.reference import EngineRunner, Reference
from mfn_patcher.progress import task

_RUNS = 30
_IMAGES_IN_HALF = 8  # whose layers take about 20 MB each


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        model: a single checkpoint.
        form: format to write.
        folder: folder to write to, which is made if it is missing.
        half: whether to write it in half precision.
        verification_set: set whose images the export is verified with; None for synthetic faces.
    """

    model: Model
    form: Format
    folder: Path
    half: bool = False
    verification_set: Path | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of the model."""
        (number,) = self.model.checkpoints
        return self.form.files(self.model.prefix.name, number, half=self.half)

    @property
    def card_files(self) -> tuple[str, str]:
        """Names of the card, as JSON and as Markdown."""
        return f"{self.files[0]}.json", f"{self.files[0]}.md"

    @property
    def limits(self) -> Limits:
        """How close the result must be to the engine's.

        Raises:
            ExportError: The format has no half precision.
        """
        limits = self.form.half_limits if self.half else self.form.limits
        if limits is None:
            raise ExportError(f"format {self.form.name} has no half precision")
        return limits


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: paths of the model's files, then of its card as JSON and as Markdown.
        card: the card.
    """

    files: tuple[Path, ...]
    card: Card


def export(
    workspace: Path,
    request: Request,
    *,
    python: str,
    environment: Mapping[str, str],
    wanted: str = AUTO,
) -> Exported:
    """Export a checkpoint and verify the result.

    Everything is made in a temporary folder; the last step moves it to its place.

    Args:
        workspace: path of the workspace, whose runs are searched for the one that saved the
            checkpoint.
        request: what to export.
        python: path of the training interpreter.
        environment: environment variables to start from.
        wanted: engine that the user selects.

    Raises:
        ExportError: A file is in the way, or the checkpoint cannot be exported.
        MismatchError: The result computes something else.
        InterpreterError: No engine can compute in the interpreter.
        ConversionError: There is no converter to ncnn, or it failed.
        PackageMissingError: A package that writes the format, or runs it, is missing.
    """
    limits, folder = request.limits, request.folder
    targets = (*request.files, *request.card_files)
    publishing.refuse_existing(folder, targets)
    request.form.check_installed()
    images = proof_images(request.verification_set)
    runner = EngineRunner(choice.choose(wanted, python, environment, ""), environment)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as aside:
        made = Path(aside)
        source = reference.compute(runner, request.model, images.pixels, made)
        files = tuple(made / name for name in request.files)
        with task(f"converting to {request.form.name}"):
            conversion = _convert(request, source, files)
        with task(f"comparing the result on {len(images.pixels)} images"):
            proof = _prove(request, source, files, images)
        card = Card(
            form=request.form,
            half=request.half,
            files=tuple(map(digest, files)),
            origin=origin.trace(workspace, request.model),
            network=cards.describe_network(source),
            conversion=conversion,
            latencies=_compare_latency(conversion, files),
            proof=proof,
            limits=limits,
            tool=__version__,
        )
        cards.write(card, *(made / name for name in request.card_files))
        publishing.publish(made, folder, targets)
    return Exported(tuple(folder / name for name in targets), card)


def _convert(request: Request, source: Reference, files: tuple[Path, ...]) -> Conversion:
    try:
        return request.form.convert(source, files, half=request.half)
    except UnsupportedError as error:
        raise ExportError(f"cannot export {source.network.params}: {error}") from error


def _prove(
    request: Request, source: Reference, files: tuple[Path, ...], images: ProofImages
) -> Proof:
    """Compare the files with the engine.

    Raises:
        MismatchError: They do not agree.
    """
    network, expected = request.form.open(files, source), source.embeddings
    found = network.embed(images.pixels)
    agreed = agreement(expected, found)
    if agreed.within(request.limits):
        if request.half and request.form.computes_half:
            _check_overflow(files[0].name, network.layers(images.pixels[:_IMAGES_IN_HALF]))
        engine = source.network.name
        return Proof(len(images.pixels), images.source, engine, network.name, agreed)
    number = worst(expected, found, request.limits)
    image = images.pixels[number : number + 1]
    layer = first_mismatch(source.network.layers(image), network.layers(image), request.limits)
    where = f", where layer {layer[0]} is the first to differ ({_gap(layer[1])})" if layer else ""
    hint = " Half precision holds numbers up to 65504: try without --fp16." if request.half else ""
    raise MismatchError(
        f"{files[0].name} does not compute what {source.network.name} does: {_gap(agreed)}. The "
        f"worst is image {number} of {len(images.pixels)}{where}",
        remedy=f"No file was written.{hint}",
    )


def _check_overflow(name: str, layers: Mapping[str, Floats]) -> None:
    """Check that half precision holds the outputs of all layers.

    The runtime may compute them in single precision, and round none that it does not return.

    Raises:
        MismatchError: It does not.
    """
    for layer, values in layers.items():
        if not np.isfinite(values).all():
            raise MismatchError(
                f"{name} overflows where half precision is computed: numbers of layer {layer} "
                "exceed 65504",
                remedy="No file was written. Try without --fp16.",
            )


def _gap(agreed: Agreement) -> str:
    return (
        f"smallest cosine {agreed.cosine:.9f}, largest difference {agreed.difference:.2g} of "
        f"numbers up to {agreed.scale:.3g}"
    )


def _compare_latency(conversion: Conversion, files: tuple[Path, ...]) -> Latencies | None:
    """Return how setting subnormal weights to zero changes the latency."""
    if conversion.unflushed is None:
        return None
    before, after = measure([conversion.unflushed, files[0]], threads=1, runs=_RUNS)
    return Latencies(before.median, after.median)
