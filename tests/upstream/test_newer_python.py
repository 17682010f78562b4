"""`make demo` on a version of Python without MXNet: PyTorch computes all of it.

The Linux wheel of PyTorch for these is on most indexes the build for CUDA, which installs several
gigabytes, so this only runs when asked for: ``make test-slow``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.repositories import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

NEWER = ("python3.14", "python3.13", "python3.12")


def find_newer() -> str:
    """Return the newest of these versions of Python that runs; a dangling shim does not."""
    for name in NEWER:
        path = shutil.which(name)
        if (
            path
            and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
        ):
            return path
    pytest.skip(f"none of {', '.join(NEWER)} is installed here")


def test_the_demo(upstream_address: str) -> None:
    python = find_newer()
    # pytest keeps the folders of several runs, and this one is too large for that.
    with tempfile.TemporaryDirectory(prefix="mfn-patch-newer-") as name:
        clone = Path(name) / "clone"
        unwanted = shutil.ignore_patterns(".git", ".venv", "demo", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, clone, ignore=unwanted)
        gone = ("PYTHONPATH", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES")
        environment = {name: value for name, value in os.environ.items() if name not in gone}
        environment |= {"MFN_PATCH_UPSTREAM": upstream_address, "PIP_NO_CACHE_DIR": "1"}
        ran = subprocess.run(
            ["make", "demo", f"PYTHON={python}"],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "\nSuccess. Outputs:\n" in ran.stdout
        records = sorted((clone / "demo" / "insightface").glob("runs/*/run.json"))
        runs = [json.loads(path.read_text()) for path in records]
        assert [(run["stage"], run["outcome"]) for run in runs] == [
            (2, "completed"),
            (3, "completed"),
            (4, "completed"),
        ]
        assert {run["engine"]["name"] for run in runs} == {"torch"}
        assert all("MXNet requires Python 3.10 to 3.11" in run["engine"]["reason"] for run in runs)
