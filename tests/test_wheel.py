"""A wheel carries the series and works from any folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.repositories import ROOT


def test_an_installed_wheel(tmp_path: Path) -> None:
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, *build, "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from mfn_patcher.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "lint"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("no problems.\n")
    bundled = site / "mfn_patcher" / "bundled"
    for path in [*ROOT.glob("patches/**/*.patch"), ROOT / "patches/series", ROOT / "upstream.toml"]:
        assert (bundled / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
