"""What a machine lacks for a training, looked at before days depend on it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_patcher.children import interpreter, libraries
from mfn_patcher.children.environment import child_environment
from mfn_patcher.data import check
from mfn_patcher.data.property_file import PropertyError, read_property
from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.engine import AUTO, MXNET, TITLES, TORCH
from mfn_patcher.engine.choice import Engines
from mfn_patcher.engine.devices import install_gpu_build
from mfn_patcher.engine.environment import without_package
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding, Level
from mfn_patcher.patching import git
from mfn_patcher.patching.workspace import Workspace, compare
from mfn_patcher.runs.code import Code
from mfn_patcher.training import memory
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.planner import plan_chain

if TYPE_CHECKING:
    from mfn_patcher.children.interpreter import Interpreter
    from mfn_patcher.children.libraries import Driver, Gpu, Library, Linked
    from mfn_patcher.engine.candidates import Candidate
    from mfn_patcher.engine.choice import Engine
    from mfn_patcher.patching.series import Series
    from mfn_patcher.recipes.model import Recipe
    from mfn_patcher.training.memory import MemoryEstimate
    from mfn_patcher.training.options import Options
    from mfn_patcher.training.plan import StagePlan

# MS1M's, where the data set does not tell.
_IDENTITIES = 85164

_ORIGINS = {"pip": "NVIDIA's pip package", "mxnet": "came with MXNet", "system": "the system's"}
_NO_GPU = (
    "`nvidia-smi` must list it. Without one, train with --cpu; MXNet's builds for CUDA can't be "
    "imported then."
)
_PLANS = {
    MXNET: "MXNet's own plan of the memory",
    TORCH: "the layers' sizes, for PyTorch plans no memory ahead",
}
_OTHER_BUILDS = {
    MXNET: "PyTorch has builds for later cards",
    TORCH: "other builds of torch hold other code",
}


@dataclass(frozen=True)
class Diagnosis:
    """All that was found.

    Attributes:
        findings: In the order of looking.
        engine: That computes; None if none can.
        libraries: That MXNet's build links, in its order; None if it is not used, or could not be
            asked.
        driver: What the CUDA driver says; None if there is none.
        need: What the training needs; None if that could not be estimated.
    """

    findings: tuple[Finding, ...]
    engine: Engine | None
    libraries: tuple[Library, ...] | None
    driver: Driver | None
    need: MemoryEstimate | None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(finding.level is not Level.ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return it as ``docs/schema/doctor.json`` describes it."""
        found = self.libraries
        return {
            "ok": self.ok,
            "findings": [finding.as_json() for finding in self.findings],
            "engine": self.engine and self.engine.as_json(),
            "libraries": found and [dataclasses.asdict(library) for library in found],
            "driver": self.driver and dataclasses.asdict(self.driver),
            "need": self.need
            and {**dataclasses.asdict(self.need), "disk_bytes": self.need.disk_bytes},
        }


def diagnose(
    workspace: Path,
    series: Series,
    recipe: Recipe,
    options: Options,
    *,
    python: str | None = None,
    wanted: str = AUTO,
    distributed: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Diagnosis:
    """Look at all that a training by all stages of a recipe will need.

    Args:
        workspace: The patched clone.
        series: That it should have.
        recipe: To train by.
        options: As for the training.
        python: The training interpreter; by default the one that runs this.
        wanted: Which engine the user asks for.
        distributed: Whether several hosts train together.
        environment: The variables to start from.

    Returns:
        What was found; whatever is wrong with the machine is a finding, and raises nothing.

    Raises:
        PlanError: The options make no sense.
    """
    plans = plan_chain(recipe, recipe.stages, options)
    doctor = _Doctor(plans, RunContext(workspace.resolve(), "", environment, Code()))
    doctor.look_at_git()
    doctor.look_at_workspace(series)
    doctor.look_at_interpreter(python)
    doctor.look_at_engines(wanted, distributed=distributed)
    doctor.look_at_data()
    doctor.look_at_need()
    if options.cpu:
        threads = child_environment(environment, "", ())["OMP_NUM_THREADS"]
        doctor.say(Level.OK, "GPU", f"none is used, as you asked; OMP_NUM_THREADS is {threads}")
    else:
        doctor.look_at_gpus(asked=options.gpus is not None)
    doctor.look_at_disk()
    return Diagnosis(
        tuple(doctor.findings), doctor.engine, doctor.libraries, doctor.driver, doctor.need
    )


class _Doctor:
    """Looks at one thing after another; what it finds out, later looks build on."""

    def __init__(self, plans: Sequence[StagePlan], context: RunContext) -> None:
        self.plans = plans
        self.context = context
        self.findings: list[Finding] = []
        self.patched = False
        self.interpreter: Interpreter | None = None
        self.engines: Engines | None = None
        self.engine: Engine | None = None
        self.used: list[Candidate] = []
        self.linked: Linked | None = None
        self.libraries: tuple[Library, ...] | None = None
        self.driver: Driver | None = None
        self.identities: int | None = None
        self.need: MemoryEstimate | None = None

    def say(self, level: Level, subject: str, detail: str, remedy: str = "") -> None:
        self.findings.append(Finding(level, subject, detail, remedy))

    def say_error(self, subject: str, error: MfnPatchError) -> None:
        self.say(Level.ERROR, subject, str(error), error.remedy)

    @property
    def devices(self) -> int:
        return self.plans[0].devices

    # -- the code -------------------------------------------------------------------------

    def look_at_git(self) -> None:
        try:
            version = git.version()
        except MfnPatchError as error:
            self.say_error("git", error)
            return
        text = ".".join(map(str, version))
        if version < git.OLDEST:
            oldest = ".".join(map(str, git.OLDEST))
            self.say(Level.ERROR, "git", f"version {text}", f"Install {oldest} or later.")
        else:
            self.say(Level.OK, "git", f"version {text}")

    def look_at_workspace(self, series: Series) -> None:
        place = Workspace(self.context.workspace)
        try:
            now = place.status()
        except MfnPatchError as error:
            self.say_error("workspace", error)
            return
        rows = compare(series, now.links)
        odd = [f"{name} is {state}" for name, state, _ in rows if state != "applied"]
        if now.pin != series.pin:
            odd.insert(0, f"its pin is {now.pin[:12] if now.pin else 'missing'}")
        where = f"in {place.path}"
        self.patched = not odd
        if odd:
            self.say(
                Level.ERROR, "workspace", f"{', '.join(odd)}, {where}", "Run `mfn-patch apply`."
            )
        elif now.edits:
            edited = [*now.edits.files, *(commit[:12] for commit in now.edits.commits)]
            self.say(
                Level.WARNING,
                "workspace",
                f"all {len(rows)} patches are applied, and edits of yours are trained with them: "
                f"{', '.join(edited)}, {where}",
                "`mfn-patch diff --local` shows them, `mfn-patch refresh` puts them into a patch.",
            )
        else:
            self.say(Level.OK, "workspace", f"all {len(rows)} patches are applied {where}")

    # -- the interpreter and what it links ------------------------------------------------

    def look_at_interpreter(self, python: str | None) -> None:
        try:
            path = interpreter.find(python)
            environment = without_package(self.context.environment)
            self.interpreter = interpreter.inspect(path, environment)
        except MfnPatchError as error:
            self.say_error("interpreter", error)
            return
        self.engines = Engines(self.interpreter, environment, self.plans[0].visible_devices)
        packages = {
            name: version
            for name, version in self.interpreter.versions.items()
            if name != "torch" and not name.startswith("mxnet")
        }
        listed = ", ".join(f"{name} {version}" for name, version in packages.items())
        self.say(Level.OK, "interpreter", f"Python {self.interpreter.python}, {path}; {listed}")

    def look_at_engines(self, wanted: str, *, distributed: bool) -> None:
        """Choose the engine as the training does, and tell of each what it lacks.

        An engine that is not needed is no failure, whatever it lacks.
        """
        if not self.engines:
            return
        problem = None
        for devices in dict.fromkeys((self.devices, 0)):
            try:
                self.engine = self.engines.choose(wanted, devices=devices, distributed=distributed)
                break
            except MfnPatchError as error:
                # The lines about GPUs say why none can be used.
                problem = problem or error
        if self.engine:
            self.say(Level.OK, "engine", self.engine.describe())
        elif problem:
            self.say_error("engine", problem)
        for name in (MXNET, TORCH):
            if wanted in {AUTO, name} and not (distributed and name == TORCH):
                self._look_at_engine(self.engines.candidate(name), serves=problem is None)

    def _look_at_engine(self, found: Candidate, *, serves: bool) -> None:
        """Tell of one engine.

        Args:
            found: What there is to know of it.
            serves: Whether an engine can compute on the devices asked for.
        """
        chosen = self.engine is not None and self.engine.name == found.name
        if chosen or (found.installed and not serves):
            self.used.append(found)
            tell = self._tell_mxnet if found.name == MXNET else self._tell_torch
            tell(found)
        elif self.engine:
            lacks = found.fault and str(found.fault)
            detail = f"not used; {lacks or f'{found.build} can be imported'}"
            remedy = found.fault.remedy if found.fault else ""
            self.say(Level.OK, TITLES[found.name], detail, remedy)

    def _tell_torch(self, found: Candidate) -> None:
        if found.fault:
            self.say_error("PyTorch", found.fault)
            return
        kind = f"CUDA {found.toolkit}" if found.toolkit else "the CPU"
        self.say(Level.OK, "PyTorch", f"{found.build} is a build for {kind} and can be imported")

    def _tell_mxnet(self, found: Candidate) -> None:
        if not (self.interpreter and self.engines and self.interpreter.mxnet_library):
            return
        path = self.interpreter.mxnet_library
        try:
            self.linked = libraries.read_linked(Path(path))
            self.libraries, self.driver = libraries.find(
                self.interpreter, self.linked, self.engines.environment(MXNET)
            )
            if found.fault:
                raise found.fault
        except MfnPatchError as error:
            lacking = any(library.error for library in self.libraries or ())
            remedy = "The failed lines below say what to bring." if lacking else error.remedy
            self.say(Level.ERROR, "MXNet", str(error), remedy)
        else:
            kind = f"CUDA {self.linked.cuda}" if self.linked.cuda else "the CPU"
            self.say(
                Level.OK,
                "MXNet",
                f"{found.build} is a build for {kind} and can be imported: {path}",
            )
        builds = [name for name in self.interpreter.versions if name.startswith("mxnet")]
        if len(builds) > 1:
            self.say(
                Level.ERROR,
                "MXNet",
                f"{' and '.join(builds)} are both installed, into one folder: its files are of "
                "whichever came last",
                f"`{self.interpreter.path} -m pip uninstall {' '.join(builds)}`, then install one.",
            )
        for library in self.libraries or ():
            if library.error:
                remedy = interpreter.remedy(library.error, self.interpreter.path)
                self.say(Level.ERROR, library.name, library.error, remedy)
            else:
                detail = f"{library.path} ({_ORIGINS[library.origin or 'system']})"
                self.say(Level.OK, library.name, detail)

    # -- the data and what is needed for it -----------------------------------------------

    def look_at_data(self) -> None:
        seen = set()
        for plan in self.plans:
            folder = self.context.resolve(plan.data_dir)
            targets = NAMES if plan.targets is None else plan.targets
            if (folder, targets) in seen:
                continue
            seen.add((folder, targets))
            found = check.preflight(folder, plan.batch_size, targets)
            for finding in found:
                self.say(
                    finding.level, "data set", f"{finding.check} {finding.detail}", finding.remedy
                )
            try:
                self.identities = read_property(folder).classes
            except PropertyError:
                continue
            if not found:
                self.say(Level.OK, "data set", f"{self.identities:,} identities in {folder}")

    def look_at_need(self) -> None:
        if not (self.engine and self.patched):
            return
        try:
            self.need = memory.estimate(
                self.plans,
                self.context.source,
                self.engine,
                self.context.environment,
                self.identities or _IDENTITIES,
            )
        except MfnPatchError as error:
            self.say_error("script", error)
            return
        each = self.plans[0].batch_size // max(self.devices, 1)
        whose = "" if self.identities else " (MS1M's, for the data set does not tell)"
        how = f"estimated from {_PLANS[self.engine.name]}"
        where = (
            f"on each GPU, and up to {_gib(memory.ON_TOP)} more for cuDNN and CUDA: {how}, not "
            "measured on a GPU"
            if self.devices
            else f"of memory: {how}"
        )
        self.say(
            Level.OK,
            "GPU memory" if self.devices else "memory",
            f"{each} images a step and {self.need.identities:,} identities{whose} need about "
            f"{_gib(self.need.gpu_bytes)} {where}",
        )

    # -- GPUs -----------------------------------------------------------------------------

    def look_at_gpus(self, *, asked: bool) -> None:
        """Look at the driver and its GPUs.

        Args:
            asked: Whether the user named GPUs, which a build for the CPU is then wrong for.
        """
        if not (self.used and self.interpreter and self.engines):
            return
        build = next((found for found in self.used if self._cuda(found)), None)
        if build is None:
            self.say(
                Level.ERROR if asked else Level.WARNING,
                "GPU",
                f"no GPU is used: {TITLES[self.used[0].name]} is a build for the CPU",
                "Train with --cpu, or "
                f"{install_gpu_build(self.used[0].name, self.interpreter.path)}.",
            )
            return
        if not self.devices:
            hint = "Unset CUDA_VISIBLE_DEVICES, or train with --cpu on purpose."
            self.say(Level.WARNING, "GPU", "CUDA_VISIBLE_DEVICES is empty: no GPU is used", hint)
            return
        if build.name == TORCH:
            self.driver = libraries.ask_driver(self.interpreter, self.engines.environment(TORCH))
        if not self.driver or not self.driver.gpus:
            why = (self.driver.error if self.driver else None) or "there is no driver"
            self.say(Level.ERROR, "GPU", f"no GPU seen: {why}", _NO_GPU)
            return
        self._look_at_driver(self.driver, build)
        self._look_at_cards(self.driver.gpus, build)

    def _cuda(self, found: Candidate) -> int | None:
        """Return the major version of CUDA that an engine is built for; None for the CPU."""
        # The file tells it even where it can't be imported.
        of_file = self.linked.cuda if self.linked else None
        return of_file if found.name == MXNET else found.toolkit

    def _look_at_cards(self, gpus: Sequence[Gpu], build: Candidate) -> None:
        if len(gpus) < self.devices:
            self.say(
                Level.ERROR,
                "GPU",
                f"{len(gpus)} seen; the training needs {self.devices} "
                f"(CUDA_VISIBLE_DEVICES='{self.plans[0].visible_devices}')",
                "Name those that nvidia-smi lists with --gpus.",
            )
        batch_size = self.plans[0].batch_size
        for gpu in gpus[: self.devices]:
            if not build.runs_on(gpu.capability):
                self.say(
                    Level.ERROR,
                    "GPU",
                    f"{_describe(gpu)}: {build.build} has no code for it",
                    f"It holds {', '.join(build.architectures)}, which run on later minor versions "
                    f"of the same major one; {_OTHER_BUILDS[build.name]}.",
                )
            else:
                self.findings.append(judge_memory(gpu, self.need, batch_size, self.devices))

    def _look_at_driver(self, driver: Driver, build: Candidate) -> None:
        cuda = self._cuda(build) or 0
        if driver.error:
            self.say(Level.ERROR, "driver", driver.error, "Reboot if it was updated since.")
        elif driver.version:
            text = ".".join(map(str, driver.version))
            if driver.version < (cuda, 0):
                remedy = f"Install a driver for CUDA {cuda}.0 or later."
                self.say(
                    Level.ERROR,
                    "driver",
                    f"is for CUDA {text}, {TITLES[build.name]} for {cuda}",
                    remedy,
                )
            else:
                self.say(Level.OK, "driver", f"is for CUDA {text}")

    # -- the disk -------------------------------------------------------------------------

    def look_at_disk(self) -> None:
        prefixes = [self.context.resolve(plan.prefix) for plan in self.plans]
        # A recipe's stages save to one disk, as a rule: to that of the last.
        folder = next(parent for parent in prefixes[-1].parents if parent.exists())
        free = shutil.disk_usage(folder).free
        room = f"{_gib(free)} free in {folder}"
        if not self.need:
            self.say(
                Level.WARNING,
                "disk",
                f"{room}; how much the checkpoints need is not known yet",
                "It is told where an engine can compute and the workspace is patched.",
            )
            return
        wanted = (
            f"{self.need.checkpoints} checkpoints of {_mib(self.need.checkpoint_bytes)} need "
            f"{_gib(self.need.disk_bytes)}; {room}"
        )
        if self.need.disk_bytes < free:
            self.say(Level.OK, "disk", wanted)
        else:
            remedy = "Make room, name another disk with --models-dir, or train with fewer "
            self.say(Level.ERROR, "disk", wanted, f"{remedy}checkpoints: --checkpoint-every N.")


def judge_memory(gpu: Gpu, needed: MemoryEstimate | None, batch_size: int, devices: int) -> Finding:
    """Judge whether a GPU has the memory that a training needs, and if not, which batch has.

    Args:
        gpu: As the driver describes it.
        needed: By the training; None if that is not known.
        batch_size: Images a step that `needed` is reckoned for, over all GPUs.
        devices: Number of GPUs.
    """
    detail = _describe(gpu)
    free = gpu.total if gpu.free is None else gpu.free
    if needed is None or needed.gpu_bytes + memory.ON_TOP <= free:
        return Finding(Level.OK, "GPU", detail)
    smaller = batch_size
    while needed.gpu_bytes_with(smaller / batch_size) + memory.ON_TOP > free:
        smaller //= 2
        if smaller < devices:
            break
    remedy = "nvidia-smi lists what else uses it."
    if smaller >= devices:
        size = smaller // devices * devices
        remedy = f"Train with --batch-size {size} --scale-steps, or on more GPUs; {remedy}"
    if needed.gpu_bytes <= free:
        return Finding(Level.WARNING, "GPU", f"{detail}: may be too little", remedy)
    return Finding(Level.ERROR, "GPU", f"{detail}: too little", remedy)


def _describe(gpu: Gpu) -> str:
    free = "" if gpu.free is None else f", {_gib(gpu.free)} of that free"
    capability = ".".join(map(str, gpu.capability))
    return f"{gpu.name}, compute capability {capability}, {_gib(gpu.total)}{free}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
