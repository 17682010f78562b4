"""Errors of training."""

from __future__ import annotations

from mfn_patcher.errors import ExitCode, MfnPatchError


class TrainingError(MfnPatchError):
    """A stage cannot start, or has failed."""


class TrainingInterruptedError(MfnPatchError):
    """A signal ended a stage; its record is kept."""

    exit_code = ExitCode.INTERRUPTED
