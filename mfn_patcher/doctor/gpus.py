"""Checks of the GPU driver, the GPUs and their memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mfn_patcher.children import libraries
from mfn_patcher.children.environment import child_environment
from mfn_patcher.doctor.examination import Examination, as_gib, failed, passed, warned
from mfn_patcher.engine import MXNET, TITLES, TORCH
from mfn_patcher.engine.devices import install_gpu_build
from mfn_patcher.finding import Finding, Level
from mfn_patcher.training.memory import ON_TOP

if TYPE_CHECKING:
    from mfn_patcher.children.libraries import Driver, Gpu
    from mfn_patcher.engine.candidates import Candidate
    from mfn_patcher.training.memory import MemoryEstimate

_NO_GPU_REMEDY = (
    "Check that `nvidia-smi` lists the GPU. Without a GPU, train with --cpu; a CUDA build of MXNet "
    "cannot be imported then."
)
_OTHER_BUILDS = {
    MXNET: "PyTorch has builds for later GPUs",
    TORCH: "other builds of torch contain other code",
}


def check_gpus(examination: Examination) -> Iterator[Finding]:
    """Check that the driver and the GPUs fit the engine and the training run."""
    if examination.request.options.cpu:
        threads = child_environment(examination.request.environment, "", ())["OMP_NUM_THREADS"]
        yield passed("GPU", f"not used, as requested; OMP_NUM_THREADS is {threads}")
        return
    if not (examination.candidates and examination.interpreter and examination.engines):
        return
    build = next(((found, cuda) for found, cuda in examination.candidates if cuda), None)
    if build is None:
        yield _no_gpu_build(examination, examination.interpreter.path)
        return
    if not examination.devices:
        yield warned(
            "GPU",
            "CUDA_VISIBLE_DEVICES is empty, so no GPU is used",
            "Unset CUDA_VISIBLE_DEVICES, or train with --cpu.",
        )
        return
    candidate, cuda = build
    if candidate.name == TORCH:
        environment = examination.engines.environment(TORCH)
        examination.driver = libraries.ask_driver(examination.interpreter, environment)
    driver = examination.driver
    if not driver or not driver.gpus:
        reason = (driver and driver.error) or "there is no driver"
        yield failed("GPU", f"no GPU found: {reason}", _NO_GPU_REMEDY)
        return
    yield from _check_driver(driver, TITLES[candidate.name], cuda or 0)
    yield from _check_each(examination, driver.gpus, candidate)


def _no_gpu_build(examination: Examination, python: str) -> Finding:
    name = examination.candidates[0][0].name
    # Whoever names GPUs wants them; otherwise the CPU may be intended.
    level = Level.WARNING if examination.request.options.gpus is None else Level.ERROR
    return Finding(
        level,
        "GPU",
        f"no GPU is used: {TITLES[name]} is a CPU build",
        f"Train with --cpu, or {install_gpu_build(name, python)}.",
    )


def _check_driver(driver: Driver, engine: str, cuda: int) -> Iterator[Finding]:
    if driver.error:
        yield failed("driver", driver.error, "Reboot if the driver has been updated since.")
    elif driver.version:
        text = f"supports CUDA {'.'.join(map(str, driver.version))}"
        if driver.version < (cuda, 0):
            yield failed(
                "driver",
                f"{text}; {engine} is built for CUDA {cuda}",
                f"Install a driver for CUDA {cuda}.0 or later.",
            )
        else:
            yield passed("driver", text)


def _check_each(
    examination: Examination, gpus: Sequence[Gpu], candidate: Candidate
) -> Iterator[Finding]:
    devices = examination.devices
    if len(gpus) < devices:
        yield failed(
            "GPU",
            f"{len(gpus)} found, but training needs {devices} "
            f"(CUDA_VISIBLE_DEVICES='{examination.plans[0].visible_devices}')",
            "Choose GPUs that nvidia-smi lists, with --gpus.",
        )
    for gpu in gpus[:devices]:
        if candidate.runs_on(gpu.capability):
            yield judge_memory(gpu, examination.estimate, examination.batch_size, devices)
        else:
            yield failed(
                "GPU",
                f"{_describe(gpu)}: {candidate.build} has no code for it",
                f"It has code for {', '.join(candidate.architectures)} and later minor versions of "
                f"the same major version; {_OTHER_BUILDS[candidate.name]}.",
            )


def judge_memory(
    gpu: Gpu, estimate: MemoryEstimate | None, batch_size: int, devices: int
) -> Finding:
    """Check that a GPU has the memory that training needs; if not, find the batch that fits.

    Args:
        gpu: the GPU, as the driver describes it.
        estimate: what the run needs; None if unknown.
        batch_size: images per step, over all GPUs.
        devices: number of GPUs.
    """
    detail = _describe(gpu)
    free = gpu.total if gpu.free is None else gpu.free
    if estimate is None or estimate.gpu_bytes + ON_TOP <= free:
        return passed("GPU", detail)
    smaller = batch_size
    while estimate.gpu_bytes_with(smaller / batch_size) + ON_TOP > free:
        smaller //= 2
        if smaller < devices:
            break
    remedy = "nvidia-smi lists what else uses its memory."
    if smaller >= devices:
        size = smaller // devices * devices
        remedy = f"Train with --batch-size {size} --scale-steps, or on more GPUs. {remedy}"
    if estimate.gpu_bytes <= free:
        return warned("GPU", f"{detail}: may not be enough memory", remedy)
    return failed("GPU", f"{detail}: not enough memory", remedy)


def _describe(gpu: Gpu) -> str:
    free = "" if gpu.free is None else f", {as_gib(gpu.free)} of it free"
    capability = ".".join(map(str, gpu.capability))
    return f"{gpu.name}, compute capability {capability}, {as_gib(gpu.total)}{free}"
