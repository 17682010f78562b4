"""Why an export fails."""

from __future__ import annotations

from mfn_patcher.errors import ExitCode, MfnPatchError


class ExportError(MfnPatchError):
    """A checkpoint cannot be exported."""


class MismatchError(ExportError):
    """An exported network does not compute what the engine does; no file was written."""

    exit_code = ExitCode.VERIFICATION
