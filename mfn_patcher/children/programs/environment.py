"""Report the interpreter that runs this, as JSON on the last line of standard output.

    python environment.py [--import]

With --import, it also imports mxnet, which is MXNet itself or the engine on PyTorch, and reports
the result. Old versions of Python must get far enough to be told that they are too old, so this
program uses nothing that they lack; types stand in comments.
"""

import glob
import json
import os
import platform
import sys

try:
    from importlib import metadata, util
except ImportError:  # Python 3.7 and before
    metadata = util = None  # type: ignore[assignment]

_DISTRIBUTIONS = (
    "mxnet",
    "mxnet-cu112",
    "mxnet-cu113",
    "mxnet-cu114",
    "mxnet-cu115",
    "mxnet-cu116",
    "mxnet-cu117",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "easydict",
)


def find_versions():
    # type: () -> dict[str, str]
    """Return the versions of the installed distributions that training depends on, by name."""
    versions = {}
    for name in _DISTRIBUTIONS if metadata else ():
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def find_mxnet():
    # type: () -> str | None
    """Return the path of MXNet's shared library, if MXNet is installed."""
    spec = util.find_spec("mxnet") if util else None
    for folder in spec.submodule_search_locations or () if spec else ():
        path = os.path.join(folder, "libmxnet.so")
        if os.path.exists(path):
            return path
    return None


def find_libraries():
    # type: () -> list[str]
    """Return the folders into which NVIDIA's packages install their shared libraries."""
    found = []
    for entry in sys.path:
        # The oldest versions have no pathlib.
        pattern = os.path.join(entry, "nvidia", "*", "lib")
        found += sorted(glob.glob(pattern))
    return found


def describe_torch():
    # type: () -> dict[str, object]
    """Return what PyTorch is built for, and the GPUs that it sees."""
    import torch

    count = torch.cuda.device_count()
    return {
        "cuda": torch.version.cuda,
        "architectures": torch.cuda.get_arch_list(),
        "gpus": [
            {
                "name": torch.cuda.get_device_name(index),
                "capability": torch.cuda.get_device_capability(index),
            }
            for index in range(count)
        ],
    }


def try_import():
    # type: () -> dict[str, object]
    """Import mxnet; return its version, and the GPUs it sees or the error."""
    try:
        import mxnet

        report = {
            "version": mxnet.__version__,
            "cuda": mxnet.runtime.Features().is_enabled("CUDA"),
            "gpus": mxnet.context.num_gpus(),
        }
        # MXNet itself has a module of this name.
        if vars(mxnet).get("engine") == "torch":
            report["torch"] = describe_torch()
        return report
    except Exception as error:
        return {"error": "{}: {}".format(type(error).__name__, error)}


if __name__ == "__main__":
    # The training script does not have this folder on its path.
    del sys.path[0]
    report = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": find_versions(),
        "libraries": find_libraries(),
        "mxnet_library": find_mxnet(),
    }  # type: dict[str, object]
    if "--import" in sys.argv[1:]:
        report["mxnet"] = try_import()
    sys.stdout.write("\n" + json.dumps(report) + "\n")
