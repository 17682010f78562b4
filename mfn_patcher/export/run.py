"""Exporting a checkpoint: made aside, proven with the format's own runtime, then published."""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfn_patcher.dataset.property_file import IMAGE_SIDE
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.evaluation.model import Model
from mfn_patcher.export import card as cards
from mfn_patcher.export.card import Card
from mfn_patcher.export.images import Pixels, proof_images
from mfn_patcher.export.proof import HALF, SINGLE, Agreement, Floats, Limits, agreement, parting
from mfn_patcher.export.runtime import INSTALL, OnnxModel
from mfn_patcher.training import interpreter, record
from mfn_patcher.training.environment import child_environment
from mfn_patcher.training.runs import Run

FORMATS = ("slim", "onnx")
_PROBE = Path(__file__).parents[1] / "probes" / "export.py"


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
    name = f"{stem}-{number:04d}{'-fp16' * half}.onnx"
    return name, f"{name}.json", f"{name}.md"


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
        RuntimeMissingError: The format's runtime is missing.
    """
    targets = names(model, form, half=half)
    _refuse_existing(folder, targets)
    images, images_from = proof_images(verification_set)
    facts = interpreter.inspect(python, environment)
    variables = child_environment(environment, "", facts.libraries)
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    interpreter.check_mxnet(facts, variables, 0)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as aside:
        made = Path(aside)
        files = [made / name for name in targets[:-2]]
        np.save(made / "images.npy", images)
        (checkpoint,) = model.checkpoints.values()
        request = {
            "symbol": str(model.symbol),
            "params": str(checkpoint),
            "format": form,
            "fp16": half,
            "files": [str(path) for path in files],
            "images": str(made / "images.npy"),
            "work": aside,
        }
        answer = interpreter.ask(python, variables, _PROBE, json.dumps(request))
        if "error" in answer:
            raise ExportError(
                f"{checkpoint} can't be exported: {answer['error']}",
                remedy=INSTALL.replace("pip", f"{python} -m pip") if "missing" in answer else "",
            )
        limits = HALF if half else SINGLE
        reference_name = f"MXNet {answer['mxnet']}"
        reference = np.load(made / "embeddings.npy")
        there, runtime = _prove(made, files, reference, images, limits=limits, mxnet=reference_name)
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
            length=reference.shape[1],
            folded=answer.get("folded", 0),
            subnormal=answer["subnormal"],
            flushed=answer.get("flushed", 0),
            images=len(images),
            images_from=images_from,
            reference=reference_name,
            runtime=runtime,
            agreement=there,
            limits=limits,
            tool=importlib.metadata.version("mfn-patcher"),
        )
        cards.write(card, *(made / name for name in targets[-2:]))
        _publish(made, folder, targets)
    return Exported(folder, tuple(folder / name for name in targets), card)


def _prove(
    made: Path,
    files: list[Path],
    reference: Floats,
    images: Pixels,
    *,
    limits: Limits,
    mxnet: str,
) -> tuple[Agreement, str]:
    """Return how near the files come to MXNet, and what ran them."""
    slim = len(files) > 1
    if slim:
        there, runtime = agreement(reference, np.load(made / "found.npy")), mxnet
    else:
        exported = OnnxModel(files[0])
        there, runtime = agreement(reference, exported.embed(images)), exported.name
    if there.within(limits):
        return there, runtime
    where = ""
    if not slim:
        with np.load(made / "layers.npz") as layers:
            parted = parting(layers, OnnxModel(made / "layers.onnx").layers(images[:1]), limits)
        if parted:
            name, layer = parted
            where = (
                f"; they part at layer {name} (cosine {layer.cosine:.9f}, largest difference "
                f"{layer.difference:.2g} of numbers up to {layer.scale:.3g})"
            )
    raise NotEqualError(
        f"{files[0].name} does not compute what MXNet does: least cosine {there.cosine:.9f}, "
        f"largest difference {there.difference:.2g} of numbers up to {there.scale:.3g}{where}",
        remedy="No file was left."
        + (" Half precision holds numbers up to 65504: try without --fp16." * (limits is HALF)),
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
            # A link never overwrites.
            os.link(made / name, folder / name)
            done.append(folder / name)
    except OSError as error:
        for path in done:
            path.unlink()
        if isinstance(error, FileExistsError):
            _refuse_existing(folder, targets)
        raise
