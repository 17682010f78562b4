"""The card of an exported model: what it is, where it is from, and how it was proven."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.export.proof import Agreement, Limits
from mfn_patcher.runs.summary import percent


@dataclass(frozen=True)
class File:
    """A file of a model.

    Attributes:
        name: In the folder of the card.
        bytes: Its size.
        sha256: In hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


def describe(path: Path) -> File:
    """Return what tells a file from others."""
    content = path.read_bytes()
    return File(path.name, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Effect:
    """What setting subnormal weights to zero did on the machine that exported.

    Attributes:
        before: Milliseconds for an image with them; the median, with one thread.
        after: Without.
    """

    before: float
    after: float


@dataclass(frozen=True)
class Card:
    """All there is to know of an exported model.

    Attributes:
        format: ``slim``, ``onnx`` or ``ncnn``.
        precision: ``fp32`` or ``fp16``.
        files: Of the model.
        checkpoint: That it was made from.
        run: That trained it; None if that isn't known.
        chain_commit: The patched code that trained it; None if that isn't known.
        accuracies: That the run measured of this checkpoint, with flip, 0 to 1, by set.
        parameters: Numbers in the checkpoint up to the embedding.
        scaling: What the network does to the pixels first: pairs of operator and number.
        side: Of an image, in pixels.
        length: Of an embedding.
        folded: Batch norms that were folded into the layer before.
        subnormal: Weights of the checkpoint that were neither zero nor normal numbers.
        flushed: Such weights of the exported network, after folding, that became zero.
        effect: Of that; None if there were none.
        images: Number that it was proven with.
        images_from: Where they were from.
        reference: What computed the embeddings to reach.
        runtime: What computed those of the files.
        agreement: Of both.
        limits: That it keeps.
        tool: Version of mfn-patch.
    """

    format: str
    precision: str
    files: tuple[File, ...]
    checkpoint: File
    run: str | None
    chain_commit: str | None
    accuracies: Mapping[str, float]
    parameters: int
    scaling: tuple[tuple[str, float], ...]
    side: int
    length: int
    folded: int
    subnormal: int
    flushed: int
    effect: Effect | None
    images: int
    images_from: str
    reference: str
    runtime: str
    agreement: Agreement
    limits: Limits
    tool: str

    @property
    def subnormal_weights(self) -> str:
        """What became of them, in words."""
        text = f"{self.subnormal} in the checkpoint; {self.flushed} of the network set to zero"
        if self.effect:
            text += (
                f": {self.effect.before:.2f} ms an image before, {self.effect.after:.2f} ms after, "
                "on the machine that exported"
            )
        return text

    def as_json(self) -> dict[str, Any]:
        """Return it as ``docs/schema/export.json`` has it."""
        return {
            "format": self.format,
            "precision": self.precision,
            "files": [dataclasses.asdict(file) for file in self.files],
            "checkpoint": dataclasses.asdict(self.checkpoint),
            "run": self.run,
            "chain_commit": self.chain_commit,
            "accuracies": dict(self.accuracies),
            "parameters": self.parameters,
            "input": {
                "name": "data",
                "shape": [*self._batch, 3, self.side, self.side],
                "type": "float32",
                "channels": "RGB",
                "range": [0, 255],
                "scaling": [{"operator": name, "value": value} for name, value in self.scaling],
                "scaling_inside": bool(self.scaling),
            },
            "output": {"name": "fc1", "shape": [*self._batch, self.length], "type": "float32"},
            "batch_norms_folded": self.folded,
            "subnormal_weights": {
                "checkpoint": self.subnormal,
                "flushed": self.flushed,
                "milliseconds": dataclasses.asdict(self.effect) if self.effect else None,
            },
            "proof": {
                "images": self.images,
                "images_from": self.images_from,
                "reference": self.reference,
                "runtime": self.runtime,
                **dataclasses.asdict(self.agreement),
                "limits": dataclasses.asdict(self.limits),
            },
            "tool": self.tool,
        }

    @property
    def _batch(self) -> list[str]:
        """The first axis; ncnn takes one image at a time."""
        return [] if self.format == "ncnn" else ["N"]

    def as_markdown(self) -> str:
        """Return it for people."""
        inside = ", then ".join(f"`{name} {value:g}`" for name, value in self.scaling)
        accuracies = ", ".join(f"{name} {percent(rate)}%" for name, rate in self.accuracies.items())
        batch = "".join(f"{axis}, " for axis in self._batch)
        allowed = f"cosine ≥ {self.limits.cosine:g}"
        if self.limits.difference is not None:
            allowed += f", difference ≤ {self.limits.difference * self.agreement.scale:.2g}"
        rows = {
            "checkpoint": f"`{self.checkpoint.name}`, SHA-256 `{self.checkpoint.sha256}`",
            "trained by": f"run `{self.run}`" if self.run else "unknown",
            "patched code": f"commit `{self.chain_commit}`" if self.chain_commit else "unknown",
            "accuracy in training": accuracies or "unknown",
            "input": f"`data`, float32, ({batch}3, {self.side}, {self.side}), RGB, 0 to 255",
            "scaling": f"inside the network ({inside}): feed pixels as they are"
            if inside
            else "outside: the network scales nothing",
            "output": f"`fc1`, float32, ({batch}{self.length}); compare by cosine",
            "batch norms folded": f"{self.folded}",
            "subnormal weights": self.subnormal_weights,
            "proof": f"{self.runtime} against {self.reference} on {self.images} images "
            f"({self.images_from}): least cosine {self.agreement.cosine:.9f}, "
            f"largest difference {self.agreement.difference:.2g} (allowed: {allowed})",
        }
        lines = [f"# {self.files[0].name}", "", f"MobileFaceNet, {self.format}, {self.precision}."]
        lines += ["", "| file | bytes | SHA-256 |", "|---|---|---|"]
        lines += [f"| `{file.name}` | {file.bytes:,} | `{file.sha256}` |" for file in self.files]
        lines += [
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {text} |" for name, text in rows.items()),
        ]
        return "\n".join(lines) + "\n"


def write(card: Card, json_path: Path, markdown_path: Path) -> None:
    """Write both files of a card."""
    text = json.dumps(card.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    json_path.write_text(text + "\n", encoding="utf-8")
    markdown_path.write_text(card.as_markdown(), encoding="utf-8")
