"""Training with the real script on several ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mfn_patcher.checkpoints import folder as checkpoints
from tests.support.launched import Launched, free_port, wait_until

TIMEOUT = 10
LIMIT = 60
"""Seconds within which all processes end after a fault."""


class Training:
    """One training run of stage 2 on several ranks, started and resumed.

    Args:
        workspace: the patched upstream.
        data: folder of the data set.
        folder: where the output of the ranks is written.
        every: steps between checkpoints.
        options: further options of ``train``.
    """

    def __init__(
        self, workspace: Path, data: Path, folder: Path, *options: str, every: int = 1
    ) -> None:
        self.workspace = workspace
        self.folder = folder
        self.options = ["train", "-w", str(workspace), "--data-dir", str(data), "--stage", "2"]
        self.options += ["--cpu", "--batch-size", "4", "--checkpoint-every", str(every)]
        self.options += ["--timeout", str(TIMEOUT), *options]
        self.launched: list[Launched] = []

    def arguments(self, steps: int, *options: str) -> list[str]:
        """Return the arguments of a run on this machine, on ports that no other test uses."""
        return self.arguments_on(steps, "--rendezvous", f"127.0.0.1:{free_port()}", *options)

    def arguments_on(self, steps: int, *options: str) -> list[str]:
        """Return the arguments of a run on hosts that the launcher knows."""
        own = ["--cluster", "--max-steps", str(steps), *options, "--", "--target", ""]
        return [*self.options, *own]

    def start(self, steps: int, *options: str) -> Launched:
        """Start two ranks on this machine."""
        folder = self.folder / str(len(self.launched))
        launched = Launched(self.arguments(steps, *options), 2, folder)
        self.launched.append(launched)
        return launched

    @property
    def run(self) -> Path:
        """The folder of the last run."""
        return max(self.workspace.glob("runs/*/run.json")).parent

    def record(self) -> dict[str, Any]:
        """Return the record of the last run."""
        record: dict[str, Any] = json.loads((self.run / "run.json").read_text())
        return record

    @property
    def prefix(self) -> Path:
        """Path prefix of the checkpoints."""
        return self.workspace / "models" / "MobileFaceNet" / "model-y1-softmax"

    @property
    def last(self) -> int:
        """Number of the last complete checkpoint; 0 if there is none."""
        found = checkpoints.last_complete(self.prefix)
        return found.number if found else 0

    def saves_beyond(self, checkpoint: int) -> bool:
        """Wait for a later checkpoint; return whether one came."""
        return wait_until(Path(f"{self.prefix}-{checkpoint + 1:04d}.json").exists)
