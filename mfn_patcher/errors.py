"""The base class of all errors a user can cause, and the exit codes."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of ``mfn-patch``, documented in ``docs/commands.md``."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DRIFT = 3
    VERIFICATION = 4
    CLUSTER = 5
    BUG = 70
    INTERRUPTED = 130


class MfnPatchError(Exception):
    """An error that the user or the environment caused.

    Modules define their own subclasses next to the code that raises them.

    Attributes:
        remedy: what to do about it; empty if there is nothing to add to the message.
        exit_code: exit code of the command that fails with it.
    """

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
