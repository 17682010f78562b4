"""Build ncnn for C++ from its source distribution: python ncnn_sdk.py FOLDER.

The wheel has neither headers nor a library to link. Only the layers of MobileFaceNet are built,
without their variants for processors, which would take most of the time.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

LAYERS = (
    *("Input", "Split", "BinaryOp", "Convolution", "ConvolutionDepthWise", "PReLU", "Flatten"),
    *("InnerProduct", "Padding", "Packing", "Cast"),  # the last three are used by others
)
OFF = (
    *("VULKAN", "BUILD_TOOLS", "BUILD_EXAMPLES", "BUILD_BENCHMARK", "RUNTIME_CPU", "INT8", "BF16"),
    *("AVX", "F16C", "XOP", "WEIGHT_QUANT", "PIXEL_DRAWING", "PIXEL_AFFINE", "PIXEL_ROTATE"),
)


def download(folder: Path) -> Path:
    """Return the unpacked source distribution of the installed version."""
    version = importlib.metadata.version("ncnn")
    # Its setup.py takes the day of the build for the version's last part, and pip refuses a
    # distribution whose version is not the one that it asked for.
    shim = folder / "shim"
    shim.mkdir()
    day = version.rpartition(".")[2]
    (shim / "sitecustomize.py").write_text(f"import time\ntime.strftime = lambda *_: {day!r}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "ncnn"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--dest", str(folder), f"ncnn=={version}"],
        env={**os.environ, "PYTHONPATH": str(shim)},
        check=True,
    )
    with tarfile.open(folder / f"ncnn-{version}.tar.gz") as archive:
        # Pythons before 3.10.12 and 3.11.4 lack the filter.
        safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    return folder / f"ncnn-{version}"


def build(source: Path, target: Path) -> None:
    """Build and install it."""
    listed = (source / "src" / "CMakeLists.txt").read_text()
    layers = re.findall(r"^ncnn_add_layer\((\w+)", listed, re.MULTILINE)
    for variants in filter(Path.is_dir, (source / "src" / "layer").iterdir()):
        shutil.rmtree(variants)
    options = [f"-DNCNN_{name}=OFF" for name in OFF]
    options += [f"-DWITH_LAYER_{name.lower()}=OFF" for name in layers if name not in LAYERS]
    options += ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"]
    options.append(f"-DCMAKE_INSTALL_PREFIX={target}")
    build_folder = str(source / "build")
    for command in (
        ["cmake", "-S", str(source), "-B", build_folder, "--log-level=ERROR", *options],
        [
            "cmake",
            "--build",
            build_folder,
            "--parallel",
            str(os.cpu_count()),
            "--target",
            "install",
        ],
    ):
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Build it, if there is what that takes."""
    target = Path(sys.argv[1]).resolve()
    missing = [name for name in ("cmake", "make", "c++") if shutil.which(name) is None]
    if missing:
        print(f"ncnn for C++ is not built: there is no {', no '.join(missing)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "sdk"
        build(download(Path(folder)), staged)
        shutil.copytree(staged, target)


if __name__ == "__main__":
    main()
