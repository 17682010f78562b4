"""Whether this machine can train: all checks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mfn_patcher.doctor.code import check_git, check_workspace
from mfn_patcher.doctor.engines import check_engines, check_interpreter
from mfn_patcher.doctor.examination import Diagnosis, Examination, Request
from mfn_patcher.doctor.gpus import check_gpus
from mfn_patcher.doctor.resources import check_data, check_disk, check_memory
from mfn_patcher.finding import Finding
from mfn_patcher.progress import task

Check = Callable[[Examination], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    check_git,
    check_workspace,
    check_interpreter,
    check_engines,
    check_data,
    check_memory,
    check_gpus,
    check_disk,
)


def diagnose(request: Request) -> Diagnosis:
    """Run all checks.

    Args:
        request: the training run that the machine is checked for.

    Returns:
        All findings. Whatever is wrong with the machine is a finding, not an error.

    Raises:
        PlanError: The options contradict each other.
    """
    examination = Examination(request)
    findings: list[Finding] = []
    with task("checking this machine", len(CHECKS)) as checking:
        for check in CHECKS:
            findings += check(examination)
            checking.advance()
    return Diagnosis(
        tuple(findings),
        examination.engine,
        examination.libraries,
        examination.driver,
        examination.estimate,
    )
