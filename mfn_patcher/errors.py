"""The base of every error a user can cause, and the exit codes of the command line."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of ``mfn-patch``; the table in ``docs/commands.md`` shows the same."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DRIFT = 3
    VERIFICATION = 4
    CLUSTER = 5
    BUG = 70
    INTERRUPTED = 130


class MfnPatchError(Exception):
    """An error of the user's or of the environment's.

    Its text says what is wrong; `remedy`, where there is one, says what to do about it.
    Modules derive their own errors from it, beside the code that raises them.
    """

    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
