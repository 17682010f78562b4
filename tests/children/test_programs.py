"""How the programs for the training interpreter are started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mfn_patcher.children import programs


def test_programs_import_this_package_and_no_other(tmp_path: Path) -> None:
    """Another version may be installed there; the tool's own dependencies are not needed."""
    for name in ("mfn_patcher", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    ran = subprocess.run(
        programs.command(sys.executable, "cuda", "libc.so.6", "libnone.so"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])["libraries"]
    assert found["libc.so.6"]["path"].endswith("libc.so.6")
    assert "libnone.so" in found["libnone.so"]["error"]


def test_programs_do_not_hide_modules(tmp_path: Path) -> None:
    """Upstream, or a package of the interpreter, may have modules with names of these programs."""
    (tmp_path / "feed.py").write_text("print('the right module')")
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, importlib\natexit.register(importlib.import_module, 'feed')"
    )
    ran = subprocess.run(
        programs.command(sys.executable, "cuda"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the right module" in ran.stdout
