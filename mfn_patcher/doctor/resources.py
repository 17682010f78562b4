"""Checks of the data set, and of the memory and disk space that training needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from mfn_patcher.data.property_file import PropertyError, read_property
from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.doctor.examination import (
    Examination,
    as_gib,
    error_finding,
    failed,
    passed,
    warned,
)
from mfn_patcher.engine import MXNET, TORCH
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding, Level
from mfn_patcher.recipes import published
from mfn_patcher.training import data_set, memory
from mfn_patcher.training.script import require_script

_SOURCES = {
    MXNET: "MXNet's own memory plan, not measured on a GPU",
    TORCH: "the sizes of the layers; an H200 needed 8 % less",
}


def check_data(examination: Examination) -> Iterator[Finding]:
    """Check that the data set of each stage is complete and large enough."""
    seen = set()
    for plan in examination.plans:
        folder = examination.context.resolve(plan.data_dir)
        targets = NAMES if plan.targets is None else plan.targets
        if (folder, targets) in seen:
            continue
        seen.add((folder, targets))
        findings = data_set.check(plan, examination.context)
        for found in findings:
            yield Finding(found.level, "data set", f"{found.check}: {found.detail}", found.remedy)
        try:
            examination.identities = read_property(folder).classes
        except PropertyError:
            continue
        if all(found.level is not Level.ERROR for found in findings):
            yield passed("data set", f"{examination.identities:,} identities in {folder}")


def check_memory(examination: Examination) -> Iterator[Finding]:
    """Estimate the memory of a step; this also makes the script parse its arguments."""
    if not (examination.engine and examination.patched):
        return
    try:
        require_script(examination.context.source, examination.plans[0].script)
        estimate = memory.estimate(
            examination.plans,
            examination.context.source,
            examination.engine,
            examination.request.environment,
            examination.identities or published.IDENTITIES,
        )
    except MfnPatchError as error:
        yield error_finding("script", error)
        return
    examination.estimate = estimate
    images = examination.batch_size // max(examination.devices, 1)
    whose = "" if examination.identities else " (of MS1M; the data set was not readable)"
    source = f"estimated from {_SOURCES[examination.engine.name]}"
    where = (
        f"on each GPU, plus up to {as_gib(memory.ON_TOP)} for cuDNN and CUDA ({source})"
        if examination.devices
        else f"of memory ({source})"
    )
    yield passed(
        "GPU memory" if examination.devices else "memory",
        f"{images} images per step and {estimate.identities:,} identities{whose} need about "
        f"{as_gib(estimate.gpu_bytes)} {where}",
    )


def check_disk(examination: Examination) -> Iterator[Finding]:
    """Check that all checkpoints fit on the disk."""
    # The stages of a recipe usually save to one disk: that of the last stage.
    prefix = examination.context.resolve(examination.plans[-1].prefix)
    folder = next(parent for parent in prefix.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    space = f"{as_gib(free)} free in {folder}"
    estimate = examination.estimate
    if not estimate:
        yield warned(
            "disk",
            f"{space}; the size of the checkpoints is not known yet",
            "It is estimated once an engine can compute and the workspace is patched.",
        )
        return
    detail = (
        f"{estimate.checkpoints} checkpoints of {estimate.checkpoint_bytes / 2**20:.1f} MiB need "
        f"{as_gib(estimate.disk_bytes)}; {space}"
    )
    if estimate.disk_bytes < free:
        yield passed("disk", detail)
    else:
        yield failed(
            "disk",
            detail,
            "Free some space, choose another disk with --models-dir, or save fewer checkpoints "
            "with --checkpoint-every.",
        )
