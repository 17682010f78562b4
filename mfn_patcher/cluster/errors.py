"""What can go wrong between hosts."""

from __future__ import annotations

from mfn_patcher.errors import ExitCode, MfnPatchError


class SetupError(MfnPatchError):
    """The hosts can't begin: no launcher, no way to each other, or they don't agree."""


class FaultError(MfnPatchError):
    """A host, or a process on it, failed; the message names it."""

    exit_code = ExitCode.CLUSTER


class OrderedError(MfnPatchError):
    """Rank 0 ended the training, and says why; the exit code is its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(code)
