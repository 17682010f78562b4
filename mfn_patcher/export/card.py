"""The card of an exported model: what it is, where it comes from, and how it was verified."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.export.digest import FileDigest
from mfn_patcher.export.formats.base import EMBEDDING, Conversion, Format, Limits
from mfn_patcher.export.origin import Origin
from mfn_patcher.export.proof import Agreement
from mfn_patcher.export.reference import Reference
from mfn_patcher.runs.summary import percent


@dataclass(frozen=True)
class NetworkFacts:
    """What an exported network looks like from outside.

    Attributes:
        parameters: number of its parameters.
        subnormal: number of parameters in the checkpoint that are subnormal.
        scaling: what it first does to pixels: pairs of operator and number.
        side: height and width of an image, in pixels.
        length: length of an embedding.
    """

    parameters: int
    subnormal: int
    scaling: tuple[tuple[str, float], ...]
    side: int
    length: int


def describe_network(source: Reference) -> NetworkFacts:
    """Return what the network of a checkpoint looks like from outside."""
    backbone = source.backbone
    return NetworkFacts(
        backbone.parameters,
        backbone.subnormal,
        backbone.scaling,
        source.shape[-1],
        source.embeddings.shape[1],
    )


@dataclass(frozen=True)
class Latencies:
    """How long a network takes for an image on the machine that exports, with one thread.

    Attributes:
        before: median with subnormal weights, in milliseconds.
        after: median without them.
    """

    before: float
    after: float


@dataclass(frozen=True)
class Proof:
    """How an export was verified.

    Attributes:
        images: number of images.
        images_from: where they come from.
        reference: name and build of the engine that computed the reference.
        runtime: name and version of what ran the exported files.
        agreement: how close both are.
    """

    images: int
    images_from: str
    reference: str
    runtime: str
    agreement: Agreement


@dataclass(frozen=True)
class Card:
    """Everything that is known about an exported model.

    Attributes:
        form: its format.
        half: whether it is in half precision.
        files: its files.
        origin: where it comes from.
        network: what the network looks like from outside.
        conversion: what the conversion has changed.
        latencies: the effect of setting subnormal weights to zero; None if there were none.
        proof: how it was verified.
        limits: how close it had to be.
        tool: version of mfn-patch.
    """

    form: Format
    half: bool
    files: tuple[FileDigest, ...]
    origin: Origin
    network: NetworkFacts
    conversion: Conversion
    latencies: Latencies | None
    proof: Proof
    limits: Limits
    tool: str

    @property
    def precision(self) -> str:
        """Type of its weights."""
        return "fp16" if self.half else "fp32"

    @property
    def subnormal_weights(self) -> str:
        """What became of subnormal weights, in words."""
        found, flushed = self.network.subnormal, self.conversion.flushed
        text = f"{found} in the checkpoint; {flushed} of the network set to zero"
        if self.latencies:
            text += (
                f": {self.latencies.before:.2f} ms per image before, {self.latencies.after:.2f} ms "
                "after, on the machine that exported"
            )
        return text

    def as_json(self) -> dict[str, Any]:
        """Return it as ``docs/schema/export.json`` describes it."""
        network, proof = self.network, self.proof
        return {
            "format": self.form.name,
            "precision": self.precision,
            "files": [dataclasses.asdict(file) for file in self.files],
            **dataclasses.asdict(self.origin),
            "parameters": network.parameters,
            "input": {
                "name": "data",
                "shape": [*self._batch, 3, network.side, network.side],
                "type": "float32",
                "channels": "RGB",
                "range": [0, 255],
                "scaling": [{"operator": name, "value": value} for name, value in network.scaling],
                "scaling_inside": bool(network.scaling),
            },
            "output": {
                "name": EMBEDDING,
                "shape": [*self._batch, network.length],
                "type": "float32",
            },
            "batch_norms_folded": self.conversion.folded,
            "subnormal_weights": {
                "checkpoint": network.subnormal,
                "flushed": self.conversion.flushed,
                "milliseconds": dataclasses.asdict(self.latencies) if self.latencies else None,
            },
            "proof": {
                "images": proof.images,
                "images_from": proof.images_from,
                "reference": proof.reference,
                "runtime": proof.runtime,
                **dataclasses.asdict(proof.agreement),
                "limits": dataclasses.asdict(self.limits),
            },
            "tool": self.tool,
        }

    @property
    def _batch(self) -> list[str]:
        """The first axis of input and output, if there is one for images."""
        return ["N"] if self.form.batched else []

    def as_markdown(self) -> str:
        """Return it as a Markdown page."""
        lines = [f"# {self.files[0].name}", ""]
        lines += [f"MobileFaceNet, {self.form.name}, {self.precision}.", ""]
        lines += ["| file | bytes | SHA-256 |", "|---|---|---|"]
        lines += [f"| `{file.name}` | {file.bytes:,} | `{file.sha256}` |" for file in self.files]
        lines += ["", "| | |", "|---|---|"]
        rows = {**self._origin_rows(), **self._use_rows(), **self._proof_rows()}
        lines += [f"| {name} | {text} |" for name, text in rows.items()]
        return "\n".join(lines) + "\n"

    def _origin_rows(self) -> dict[str, str]:
        origin = self.origin
        accuracies = (f"{name} {percent(rate)}%" for name, rate in origin.accuracies.items())
        return {
            "checkpoint": f"`{origin.checkpoint.name}`, SHA-256 `{origin.checkpoint.sha256}`",
            "trained by": f"run `{origin.run}`" if origin.run else "unknown",
            "patched code": f"commit `{origin.chain_commit}`" if origin.chain_commit else "unknown",
            "accuracy in training": ", ".join(accuracies) or "unknown",
        }

    def _use_rows(self) -> dict[str, str]:
        network = self.network
        inside = ", then ".join(f"`{name} {value:g}`" for name, value in network.scaling)
        batch = "".join(f"{axis}, " for axis in self._batch)
        return {
            "input": f"`data`, float32, ({batch}3, {network.side}, {network.side}), RGB, 0 to 255",
            "scaling": f"part of the network ({inside}): pass pixels as they are"
            if inside
            else "none in the network",
            "output": f"`{EMBEDDING}`, float32, ({batch}{network.length}); compare by cosine",
        }

    def _proof_rows(self) -> dict[str, str]:
        proof, agreed, limits = self.proof, self.proof.agreement, self.limits
        allowed = f"cosine ≥ {limits.cosine:g}"
        if limits.difference is not None:
            allowed += f", difference ≤ {limits.difference * agreed.scale:.2g}"
        return {
            "batch norms folded": f"{self.conversion.folded}",
            "subnormal weights": self.subnormal_weights,
            "verified": f"{proof.runtime} against {proof.reference} on {proof.images} images "
            f"({proof.images_from}): smallest cosine {agreed.cosine:.9f}, largest difference "
            f"{agreed.difference:.2g} (allowed: {allowed})",
        }


def write(card: Card, json_path: Path, markdown_path: Path) -> None:
    """Write both files of a card."""
    text = json.dumps(card.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
    json_path.write_text(text + "\n", encoding="utf-8")
    markdown_path.write_text(card.as_markdown(), encoding="utf-8")
