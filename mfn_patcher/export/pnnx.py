"""Converting ONNX to ncnn with ncnn's own converter."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mfn_patcher.data.property_file import IMAGE_SIDE
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.remedies import pip_install

REQUIREMENT = "pnnx==20261020"
"""It declares that it requires PyTorch, which the parts that are used here do not."""

_TAIL = 5  # lines
_OUTPUT = "out0"  # as pnnx names it
_SECONDS = 120


class ConversionError(MfnPatchError):
    """The converter is missing, or it failed."""


def find() -> Path:
    """Return the path of the converter.

    It is the program inside the package, because the command that pip installs imports PyTorch.

    Raises:
        ConversionError: It is not installed.
    """
    spec = importlib.util.find_spec("pnnx")
    program = Path(spec.origin).parent / "pnnx" if spec and spec.origin else None
    if program is None or not program.is_file():
        raise ConversionError(
            "pnnx, which converts ONNX to ncnn, is not installed",
            remedy=f"Install it with `{pip_install()} --no-deps {REQUIREMENT}`; the converter "
            "does not need the dependencies of its package.",
        )
    return program


def convert(
    onnx: Path, param: Path, nodes: Sequence[tuple[str, Sequence[str]]], *, half: bool
) -> None:
    """Write the files of a network, whose blobs get the names that they have in ONNX.

    Args:
        onnx: path of the network, in single precision.
        param: path of the ``.param`` file to write; the ``.bin`` file is written beside it.
        nodes: output and inputs of each of its layers, in order, without weights.
        half: whether to store weights in half precision.

    Raises:
        ConversionError: The converter is missing, or it failed.
    """
    aside = param.parent / f"{param.stem}-pnnx"
    aside.mkdir()
    # It writes many other files next to its input.
    (aside / "model.onnx").symlink_to(onnx.resolve())
    shape = f"inputshape=[1,3,{IMAGE_SIDE},{IMAGE_SIDE}]f32"
    try:
        ran = subprocess.run(
            [str(find()), "model.onnx", shape, f"fp16={int(half)}"],
            cwd=aside,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConversionError(f"cannot run pnnx: {error}") from error
    made = [aside / "model.ncnn.param", aside / "model.ncnn.bin"]
    if ran.returncode or not all(path.is_file() for path in made):
        said = "\n".join(ran.stdout.splitlines()[-_TAIL:])
        raise ConversionError(f"pnnx failed (exit status {ran.returncode})\n{said}")
    param.write_text(name_blobs(made[0].read_text(encoding="utf-8"), nodes), encoding="utf-8")
    made[1].replace(param.with_suffix(".bin"))


def name_blobs(text: str, nodes: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Give the blobs of a ``.param`` file, which pnnx numbers, the names of the layers.

    A layer matches the layer of ONNX that has the same inputs. Blobs of layers that match none keep
    their numbers.

    Args:
        text: contents of the file. Each line has type and name of a layer, the numbers of its
            inputs and outputs, these inputs and outputs, and parameters.
        nodes: output and inputs of each layer, as for `convert`.

    Returns:
        The new contents.
    """
    waiting = [(output, sorted(inputs)) for output, inputs in nodes]
    # The content of a blob and its name differ where a blob is split into equal ones.
    content: dict[str, str] = {}
    called = {_OUTPUT: "fc1"}
    lines = text.splitlines()
    for number, line in enumerate(lines[2:], 2):
        kind, name, *rest = line.split()
        ins, outs = int(rest[0]), int(rest[1])
        inputs, outputs = rest[2 : 2 + ins], rest[2 + ins : 2 + ins + outs]
        if kind == "Input":
            content[outputs[0]] = called[outputs[0]] = "data"
        elif kind == "Split":
            content.update(
                {output: content[inputs[0]] for output in outputs if inputs[0] in content}
            )
        else:
            sources = sorted(content.get(blob, "") for blob in inputs)
            match = next((node for node in waiting if node[1] == sources), None)
            if match:
                waiting.remove(match)
                content[outputs[0]] = match[0]
                called.setdefault(outputs[0], match[0])
        blobs = [called.get(blob, blob) for blob in (*inputs, *outputs)]
        lines[number] = " ".join(
            [f"{kind:24} {name:24} {ins} {outs}", *blobs, *rest[2 + ins + outs :]]
        )
    return "\n".join(lines) + "\n"
