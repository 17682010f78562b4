"""Errors of training on several hosts."""

from __future__ import annotations

from mfn_patcher.errors import ExitCode, MfnPatchError


class SetupError(MfnPatchError):
    """The job cannot start: no launcher, a host that cannot be reached, or hosts that differ."""


class FaultError(MfnPatchError):
    """A host, or a process on it, failed; the message names it."""

    exit_code = ExitCode.CLUSTER


class StoppedError(MfnPatchError):
    """Rank 0 stopped this rank; message and exit code are rank 0's."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = code
