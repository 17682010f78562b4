"""Checks of the training interpreter, its engines and the libraries they link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.children import interpreter, libraries
from mfn_patcher.doctor.examination import Examination, error_finding, failed, passed
from mfn_patcher.engine import AUTO, MXNET, TITLES, TORCH
from mfn_patcher.engine.choice import Engines
from mfn_patcher.engine.environment import without_packages
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding

if TYPE_CHECKING:
    from mfn_patcher.children.interpreter import Interpreter
    from mfn_patcher.children.libraries import Library
    from mfn_patcher.engine.candidates import Candidate

_ORIGINS = {"pip": "NVIDIA's pip package", "mxnet": "part of MXNet", "system": "system library"}


def check_interpreter(examination: Examination) -> Iterator[Finding]:
    """Check that the training interpreter can be queried."""
    try:
        path = interpreter.find(examination.request.python)
        environment = without_packages(examination.request.environment)
        found = interpreter.inspect(path, environment, examination.request.engine)
    except MfnPatchError as error:
        yield error_finding("interpreter", error)
        return
    examination.interpreter = found
    examination.engines = Engines(found, environment, examination.plans[0].visible_devices)
    packages = ", ".join(
        f"{name} {version}"
        for name, version in found.versions.items()
        if name != "torch" and not name.startswith("mxnet")
    )
    yield passed("interpreter", f"Python {found.python} at {path}; {packages}")


def check_engines(examination: Examination) -> Iterator[Finding]:
    """Choose the engine as training does, and say what each engine lacks.

    An engine that is not needed does not fail the check, whatever is missing.
    """
    engines, request = examination.engines, examination.request
    if not engines:
        return
    problem: MfnPatchError | None = None
    for devices in dict.fromkeys((examination.devices, 0)):
        try:
            examination.engine = engines.choose(request.engine, devices=devices)
            break
        except MfnPatchError as error:
            # The GPU checks say why none can be used, so the CPU is tried.
            problem = problem or error
    if examination.engine:
        yield passed("engine", examination.engine.describe())
    elif problem:
        yield error_finding("engine", problem)
    for name in (MXNET, TORCH):
        if request.engine in {AUTO, name}:
            yield from _check_engine(examination, engines.candidate(name), problem)


def _check_engine(
    examination: Examination, candidate: Candidate, problem: MfnPatchError | None
) -> Iterator[Finding]:
    """Check one engine.

    Args:
        examination: the examination.
        candidate: the engine.
        problem: why no engine can compute on the requested devices; None if one can.
    """
    engine = examination.engine
    chosen = engine is not None and engine.name == candidate.name
    if chosen or (candidate.installed and problem):
        check = _check_mxnet if candidate.name == MXNET else _check_torch
        yield from check(examination, candidate)
    elif engine:
        reason = candidate.fault or f"{candidate.build} can be imported"
        remedy = candidate.fault.remedy if candidate.fault else ""
        yield passed(TITLES[candidate.name], f"not used; {reason}", remedy)


def _check_torch(examination: Examination, candidate: Candidate) -> Iterator[Finding]:
    examination.candidates.append((candidate, candidate.toolkit))
    if candidate.fault:
        yield error_finding("PyTorch", candidate.fault)
    else:
        yield passed("PyTorch", f"{candidate.build}, {_kind(candidate.toolkit)}, can be imported")


def _check_mxnet(examination: Examination, candidate: Candidate) -> Iterator[Finding]:
    found, engines = examination.interpreter, examination.engines
    if not (found and engines and found.mxnet_library):
        examination.candidates.append((candidate, None))
        return
    cuda: int | None = None
    problem: MfnPatchError | None = candidate.fault
    linked: tuple[Library, ...] = ()
    try:
        # The file shows the version of CUDA even if it cannot be imported.
        file = libraries.read_linked(Path(found.mxnet_library))
        cuda = file.cuda
        linked, examination.driver = libraries.find(found, file, engines.environment(MXNET))
        examination.libraries = linked
    except MfnPatchError as error:
        problem = error
    examination.candidates.append((candidate, cuda))
    if problem:
        unloadable = any(library.error for library in linked)
        remedy = "See the failed libraries below." if unloadable else problem.remedy
        yield failed("MXNet", str(problem), remedy)
    else:
        yield passed(
            "MXNet",
            f"{candidate.build}, {_kind(cuda)}, can be imported from {found.mxnet_library}",
        )
    yield from _check_builds(found)
    for library in linked:
        yield _check_library(library, found)


def _check_builds(found: Interpreter) -> Iterator[Finding]:
    builds = [name for name in found.versions if name.startswith("mxnet")]
    if len(builds) > 1:
        yield failed(
            "MXNet",
            f"{' and '.join(builds)} are installed into the same folder, where the last one "
            "has overwritten files of the others",
            f"Run `{found.path} -m pip uninstall {' '.join(builds)}`, then install one of them.",
        )


def _check_library(library: Library, found: Interpreter) -> Finding:
    if library.error:
        remedy = interpreter.remedy(library.error, found.path)
        return failed(library.name, library.error, remedy)
    return passed(library.name, f"{library.path} ({_ORIGINS[library.origin or 'system']})")


def _kind(cuda: int | None) -> str:
    return f"a build for CUDA {cuda}" if cuda else "a CPU build"
