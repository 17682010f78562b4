"""The programs in the documents, compiled and run on a real export."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfn_patcher.export.images import proof_images
from mfn_patcher.export.runtime import load
from tests.support.repositories import ROOT
from tests.support.trained import MODELS, NAME, SHARING

pytestmark = [pytest.mark.mxnet, SHARING]

PROGRAMS = ROOT / "docs" / "programs"
TEST_PROGRAMS = Path(__file__).parent / "programs"
NCNN = next(
    (path for path in (ROOT / ".venv" / "ncnn", Path("/usr")) if (path / "include/ncnn").is_dir()),
    None,
)
COMPILER = ("c++", "-std=c++11", "-O1", "-Wall", "-Wextra", "-Werror")

needs_ncnn = pytest.mark.skipif(
    NCNN is None or shutil.which("c++") is None,
    reason="there is no ncnn for C++, which `make .venv/ncnn` builds, or no compiler",
)


@dataclass(frozen=True)
class Faces:
    """Two faces.

    Attributes:
        pictures: As files of images.
        pixels: As files of nothing but pixels.
        cosine: What is to be found.
    """

    pictures: tuple[Path, Path]
    pixels: tuple[Path, Path]
    cosine: float


@pytest.fixture
def faces(exported: Path, tmp_path: Path) -> Faces:
    candidates = proof_images(None).pixels
    embeddings = load(exported / MODELS["onnx"]).embed(candidates)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit @ unit[0]
    crops = candidates[[0, int(np.argmin(cosines))]]
    # A program that embeds one face twice, or none, would say 1.
    assert min(cosines) < 0.999
    pictures, pixels = ((tmp_path / f"a.{end}", tmp_path / f"b.{end}") for end in ("png", "rgb"))
    for crop, picture, raw in zip(crops, pictures, pixels):
        rows = crop.transpose(1, 2, 0)
        Image.fromarray(rows).save(picture)
        raw.write_bytes(rows.tobytes())
    return Faces(pictures, pixels, float(min(cosines)))


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_python(exported: Path, faces: Faces) -> None:
    said = output(sys.executable, PROGRAMS / "embed.py", exported / MODELS["onnx"], *faces.pictures)
    assert float(said) == pytest.approx(faces.cosine, abs=1e-5)


@needs_ncnn
def test_cpp(exported: Path, faces: Faces, tmp_path: Path) -> None:
    assert NCNN
    use = (f"-I{NCNN / 'include'}", f"-L{NCNN / 'lib'}")
    output(*COMPILER, PROGRAMS / "embed.cpp", "-o", tmp_path / "embed", *use, "-lncnn", "-fopenmp")
    for name, tolerance in ((NAME, 1e-5), (f"{NAME}-fp16", 1e-3)):
        model = [exported / f"{name}{end}" for end in (".param", ".bin")]
        said = output(tmp_path / "embed", *model, *faces.pixels)
        assert float(said) == pytest.approx(faces.cosine, abs=tolerance)
    wrong = subprocess.run([tmp_path / "embed", *model, *faces.pictures], check=False)
    assert wrong.returncode == 1


@needs_ncnn
@pytest.mark.skipif(
    None in map(shutil.which, ("javac", "cmake")), reason="there is no JDK, or no CMake"
)
def test_the_classes_for_android_on_a_desktop(exported: Path, faces: Faces, tmp_path: Path) -> None:
    assert NCNN
    android = PROGRAMS / "android"
    java = Path(os.path.realpath(shutil.which("javac") or "")).parents[1] / "include"
    flags = (f"-DCMAKE_CXX_FLAGS=-I{java} -I{java / 'linux'}", f"-DCMAKE_PREFIX_PATH={NCNN}")
    output("cmake", "-S", android, "-B", tmp_path / "build", *flags)
    output("cmake", "--build", tmp_path / "build")
    output("javac", "-d", tmp_path, android / "Face.java", TEST_PROGRAMS / "CompareFaces.java")
    model = [exported / f"{NAME}{end}" for end in (".param", ".bin")]
    paths = (f"-Djava.library.path={tmp_path / 'build'}", "-cp", tmp_path)
    said = output("java", *paths, "CompareFaces", *model, *faces.pictures)
    assert float(said) == pytest.approx(faces.cosine, abs=1e-5)
