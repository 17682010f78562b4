"""The accuracy gate: no stage starts from one that has learned nothing, unless the user asks."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.checkpoints.folder import saved_at
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs.event_files import read_verifications
from mfn_patcher.training.watch.alarms import CHANCE


class AccuracyGateError(MfnPatchError):
    """The previous stage has learned nothing."""


def check_accuracy(title: str, writer: Path, file: Path) -> None:
    """Check the accuracy of a checkpoint before days are spent on training from it.

    Args:
        title: title of the stage that starts from it.
        writer: folder of the run that saved it.
        file: the checkpoint.

    Raises:
        AccuracyGateError: the last LFW accuracy before it was saved is at chance level.
    """
    saved = saved_at(file) + 1  # some file systems keep whole seconds
    accuracies = [
        entry.accuracy
        for entry in read_verifications(writer)
        if entry.set == "lfw" and entry.time and entry.time.timestamp() <= saved
    ]
    # Not `<`: the NaN of a run that diverged must not pass.
    if accuracies and not accuracies[-1] >= CHANCE:
        raise AccuracyGateError(
            f"{title} would start from {file.name}, whose LFW accuracy is {accuracies[-1]:.2%}, at "
            f"chance level. Its run is in {writer}",
            remedy="Check the data set and the learning rate of that stage. Pass "
            "--skip-accuracy-gate to start anyway.",
        )
