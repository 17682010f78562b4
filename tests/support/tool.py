"""Running the tool in a test, and checking what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from mfn_patcher.patching.series import load_series
from tests.support.repositories import ROOT, StandIn, contents, git


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Tool = Callable[..., Ran]
Check = Callable[..., Ran]


def validated(command: str, out: str) -> Any:
    """Parse what a command printed and check it against its documented schema."""
    value = json.loads(out)
    schema = json.loads((ROOT / "docs" / "schema" / f"{command}.json").read_text())
    jsonschema.validate(value, schema)
    return value


def places(command: str, workspace: Path, project: Path, upstream: Path) -> list[str | Path]:
    """Return the options of a command for these folders, as far as it takes them."""
    found: list[str | Path] = []
    if command not in ("import", "lint", "check"):
        found += ["-w", workspace]
    if command != "revert":
        found += ["--project", project]
    if command in ("apply", "import", "rebase", "check"):
        found += ["--upstream", upstream]
    return found


class Bench:
    """Commands on one workspace and one project."""

    def __init__(self, tool: Tool, stand_in: StandIn, workspace: Path) -> None:
        self.tool = tool
        self.stand_in = stand_in
        self.workspace = workspace

    def apply(self, *options: str) -> Ran:
        return self("apply", *options)

    def __call__(self, command: str, *options: str) -> Ran:
        here = places(command, self.workspace, self.stand_in.project, self.stand_in.upstream)
        return self.tool(command, *here, *options)

    def json(self, *options: str) -> Any:
        ran = self.apply(*options, "--json")
        assert ran.code == 0, ran.err
        return validated("apply", ran.out)

    def files(self) -> dict[str, bytes]:
        """Every file of the work tree."""
        return contents(self.workspace)

    def patches(self) -> dict[str, bytes]:
        """The patch files of the project, by name and in order."""
        return {patch.name: patch.data for patch in load_series(self.stand_in.project).patches}

    def project(self) -> dict[str, bytes]:
        """Every file of the project."""
        return contents(self.stand_in.project)

    def head(self) -> str:
        return git(self.workspace, "rev-parse", "HEAD").decode().strip()


def run_restricted(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool in a folder, without the right of root to read and write everywhere."""
    rights = "-dac_override,-dac_read_search"
    drop = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")
    return subprocess.run(
        [*(drop if os.geteuid() == 0 else ()), sys.executable, "-m", "mfn_patcher", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
