"""Running stages: look before, set checkpoints aside, run the script, keep a record."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.checkpoints import parameters
from mfn_patcher.checkpoints.folder import Archive
from mfn_patcher.children.failure import explain
from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.data.fingerprint import Fingerprint, fingerprint
from mfn_patcher.data.property_file import PropertyError, read_property
from mfn_patcher.data.verification_set import NAMES
from mfn_patcher.engine import AUTO
from mfn_patcher.engine.choice import Engine, choose
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.runs import record
from mfn_patcher.runs.code import Code
from mfn_patcher.runs.record import Record
from mfn_patcher.training import process
from mfn_patcher.training.command import StagePlan, shell_line
from mfn_patcher.training.companions import ALONE, Crew
from mfn_patcher.training.process import Ended
from mfn_patcher.training.watch.supervision import AS_USUAL, Supervision, Watching, check_gate


class TrainingError(MfnPatchError):
    """A stage can't start, or failed."""


class TrainingInterruptedError(MfnPatchError):
    """A signal ended a stage; its record is kept."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True)
class Surroundings:
    """Where stages run.

    Attributes:
        workspace: The patched clone; absolute.
        python: Path of the training interpreter.
        environment: The variables to start from.
        code: Which code is trained.
        wanted: Which engine the user asks for.
    """

    workspace: Path
    python: str
    environment: Mapping[str, str]
    code: Code
    wanted: str = AUTO

    @property
    def source(self) -> Path:
        """The folder that the script is in and runs in."""
        return self.workspace / "src"

    @property
    def runs(self) -> Path:
        """The folder of all runs' folders."""
        return self.workspace / "runs"

    def place(self, path: str) -> Path:
        """Return where a path that the script is told is, links in its folder followed."""
        told = self.source / path
        return told.parent.resolve() / told.name

    def engine(self, plan: StagePlan) -> Engine:
        """Return the engine that trains a stage; that takes seconds, once.

        Raises:
            InterpreterError: The interpreter can't train it.
        """
        asked = (plan.visible_devices, plan.distributed)
        if asked not in self._engines:
            self._engines[asked] = choose(
                self.wanted, self.python, self.environment, asked[0], distributed=asked[1]
            )
        return self._engines[asked]

    def tell_engine(self, plan: StagePlan) -> tuple[str, Path | None]:
        """Return what would compute a stage, or why nothing would, and its `Engine.modules`."""
        try:
            engine = self.engine(plan)
        except InterpreterError as error:
            return f"none: {error}. {error.remedy}", None
        return engine.describe(), engine.modules

    @functools.cached_property
    def _engines(self) -> dict[tuple[str, bool], Engine]:
        return {}


def run_stages(
    plans: Sequence[StagePlan],
    surroundings: Surroundings,
    output: BinaryIO,
    report: Callable[[str], None] = lambda _: None,
    supervision: Supervision = AS_USUAL,
    *,
    crew: Crew = ALONE,
    engine: Engine | None = None,
) -> list[Path]:
    """Run stages one after another, to the first that fails.

    All that can be looked at for any of them is looked at before the first starts.

    Args:
        plans: Of the stages, in order.
        surroundings: Where they run.
        output: Gets the script's output, live.
        report: Called with a line when a stage starts or ends.
        supervision: How they are watched.
        crew: What works beside each script.
        engine: What `check_host` has chosen; None if it was not asked.

    Returns:
        The folders of the runs.

    Raises:
        TrainingError: Something is missing, or the script failed.
        TrainingInterruptedError: A signal ended a stage.
        InterpreterError: The interpreter can't train.
        GateError: A stage would start from one that has learned nothing.
        MfnPatchError: The crew failed.
    """
    made: set[Path] = set()
    for plan in plans:
        _check_models(plan, surroundings)
        _check_start(plan, surroundings, made, gate=supervision.gate)
        _check_pretrained(plan, surroundings)
        made.add(surroundings.place(plan.prefix))
    engine = engine or check_host(plans, surroundings)
    folders = []
    for plan in plans:
        # Again, for now the earlier stages of this chain have saved what they did.
        _check_start(plan, surroundings, set(), gate=supervision.gate)
        for note in _check_pretrained(plan, surroundings):
            report(note)
        folders.append(
            _run_stage(
                plan,
                surroundings,
                engine,
                supervision,
                crew=crew,
                output=output,
                report=report,
            )
        )
    return folders


# -- before -------------------------------------------------------------------------------


def check_host(plans: Sequence[StagePlan], surroundings: Surroundings) -> Engine:
    """Look whether this host has what the script of each stage needs: code, data and an engine.

    Raises:
        TrainingError: Something is missing.
        InterpreterError: The interpreter can't train.
    """
    _check_code(plans[0], surroundings)
    seen = set()
    for plan in plans:
        asked = (plan.data_dir, plan.batch_size, plan.targets)
        if asked not in seen:
            _check_data(plan, surroundings)
        seen.add(asked)
    return surroundings.engine(plans[0])


def _check_code(plan: StagePlan, surroundings: Surroundings) -> None:
    if not (surroundings.source / plan.script).is_file():
        raise TrainingError(
            f"there is no {surroundings.source / plan.script}",
            remedy="Run `mfn-patch apply`, or name the workspace with --workspace.",
        )


def _check_data(plan: StagePlan, surroundings: Surroundings) -> None:
    from mfn_patcher.data import check  # noqa: PLC0415  (imports NumPy)

    folder = surroundings.place(plan.data_dir)
    targets = NAMES if plan.targets is None else plan.targets
    findings = check.preflight(folder, plan.batch_size, targets)
    if not findings:
        return
    lines = [f"  {finding.check}: {finding.detail}" for finding in findings]
    remedies = [finding.remedy for finding in findings if finding.remedy]
    raise TrainingError(
        "\n".join([f"{plan.stage.title} can't train on {folder}:", *lines]),
        remedy=" ".join([*dict.fromkeys(remedies), "--data-dir names another data set."]),
    )


def _check_models(plan: StagePlan, surroundings: Surroundings) -> None:
    prefix = surroundings.place(plan.prefix)
    folder = next(parent for parent in prefix.parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TrainingError(
            f"{plan.stage.title} can't save its checkpoints: {folder} can't be written",
            remedy="Name another folder with --models-dir.",
        )
    for run, entry in record.read_all(surroundings.runs):
        if entry.get("prefix") == str(prefix) and process.is_written(run / record.LOG):
            raise TrainingError(
                f"a run that saves to {prefix} is still at work; its record is in {run}",
                remedy="Wait for it or stop it, or name another folder with --models-dir.",
            )


def _check_start(
    plan: StagePlan, surroundings: Surroundings, made: AbstractSet[Path], *, gate: bool
) -> None:
    start = plan.start
    if start is None or plan.resumed_from is not None:
        return
    prefix = surroundings.place(start.prefix)
    if start.stage is not None and prefix in made:
        # An earlier stage of this chain saves it.
        return
    existing = checkpoints.find(prefix)
    if start.number not in existing or not checkpoints.symbol_path(prefix).exists():
        ways = ["Name one that exists with --pretrained PREFIX,EPOCH."]
        if start.stage is not None:
            command = f"mfn-patch train --stage {start.stage}"
            ways.insert(0, f"Run `{command}` first, with the same options as here.")
        if existing:
            numbers = ", ".join(map(str, existing))
            ways.append(f"There are {numbers}: for instance --pretrained {prefix},{max(existing)}.")
        raise TrainingError(
            f"{plan.stage.title} starts from checkpoint {start.number} of {prefix}, "
            "which does not exist",
            remedy=" ".join(ways),
        )
    if start.stage is not None:
        file = existing[start.number]
        writer = _check_writer(plan, prefix, file, start.stage, surroundings)
        if writer and gate:
            check_gate(plan.stage.title, writer, file)


def _check_pretrained(plan: StagePlan, surroundings: Surroundings) -> list[str]:
    """Look into a checkpoint that the user names; those of stages have been checked when saved.

    Returns:
        What to tell before the stage starts: which layers start at random.
    """
    start = plan.start
    if start is None or start.stage is not None or plan.resumed_from is not None:
        return []
    file = checkpoints.find(surroundings.place(start.prefix))[start.number]
    try:
        shapes = parameters.read_shapes(file)
        identities = read_property(surroundings.place(plan.data_dir)).classes
    except OSError as error:
        raise TrainingError(f"{file} can't be read: {error.strerror}") from error
    except PropertyError:
        return []  # told with the other faults of the data set
    size = plan.value("--emb-size")
    if not (size and size.isdecimal()):
        return []  # for the script to refuse
    layers = parameters.random_layers(shapes, identities, int(size))
    return [
        f"{', '.join(names)} will start at random and not from {file.name}: {why}"
        for why, names in layers.items()
    ]


def _check_writer(
    plan: StagePlan, prefix: Path, file: Path, stage: int, surroundings: Surroundings
) -> Path | None:
    """Refuse a checkpoint that another stage of the same prefix has saved over the right one.

    Returns:
        The folder of the run that saved it, if that is known.
    """
    saved = file.stat().st_mtime
    for run, entry in record.read_all(surroundings.runs):
        if entry.get("prefix") != str(prefix) or not record.lasted_at(entry, saved):
            continue
        if (entry["recipe"], entry["stage"]) == (plan.recipe, stage):
            return run
        remedy = f"Run `mfn-patch train --stage {stage}` again, or choose with --pretrained."
        archived = Path(entry.get("archive") or "", file.name)
        if entry.get("archive") and archived.exists():
            name = f"{archived.parent / prefix.name},{plan.start.number if plan.start else ''}"
            remedy = f"The one that it replaced is kept: --pretrained {name}"
        raise TrainingError(
            f"{plan.stage.title} starts from what stage {stage} saves, but {file.name} was saved "
            f"by stage {entry['stage']} of {entry['recipe']}, in {run}",
            remedy=remedy,
        )
    return None


# -- a stage ------------------------------------------------------------------------------


def _run_stage(
    plan: StagePlan,
    surroundings: Surroundings,
    engine: Engine,
    supervision: Supervision,
    *,
    crew: Crew,
    output: BinaryIO,
    report: Callable[[str], None],
) -> Path:
    environment = engine.environment(surroundings.environment, plan.visible_devices)
    prefix = surroundings.place(plan.prefix)
    data_set = fingerprint(surroundings.place(plan.data_dir))
    folder = record.new_folder(surroundings.runs, plan.stage)
    environment, added = crew.begin(plan, folder, environment)
    checkpoints.clean(prefix)
    archive = None
    if plan.resumed_from is None:
        archive = checkpoints.set_aside(prefix, _kept(plan, surroundings))
    before = checkpoints.state(prefix)
    entry = _open_record(
        plan, surroundings, engine, environment, added, data_set=data_set, archive=archive
    )
    record.write(entry, folder)
    if surroundings.code.edits:
        (folder / record.EDITS).write_bytes(surroundings.code.edits)
    if archive:
        report(f"former checkpoints of {prefix} are kept in {archive.folder}")
    length = f"{plan.steps} steps" if plan.steps else "steps without end"
    length += f" of {plan.batch_size} images"
    if plan.resumed_from is not None:
        length += f", from checkpoint {plan.resumed_from} on"
    report(f"{plan.stage.title}: {length}; record in {folder}")
    report(f"computed by {engine.describe()}")
    ended = None
    try:
        with Watching(plan, prefix, folder, supervision, output=output, report=report) as watching:
            ended = process.run(
                crew.wrap(entry.command),
                folder=surroundings.source,
                environment=environment,
                log=folder / record.LOG,
                output=watching.output,
                watch=watching.watch,
                tick=watching.tick,
                guard=crew.guard,
                report=report,
                started=crew.started,
                received=crew.received,
            )
    finally:
        fault = crew.end(ended)
        if fault and ended:
            # Signals that came later are of launchers that clear up.
            ended = dataclasses.replace(ended, stopped=str(fault), signal=None)
        # Also when the tool itself fails, checkpoints are put back and the record is closed.
        saved = checkpoints.saved_since(prefix, before)
        if archive and not saved and archive.restore():
            entry = dataclasses.replace(entry, archive=None)
            report("it saved no checkpoint, so the former ones are back in their place")
        entry = dataclasses.replace(
            entry,
            ended=record.utc_now(),
            seconds=round(ended.seconds, 3) if ended else None,
            exit_status=ended.status if ended else None,
            signal=ended.signal.name if ended and ended.signal else None,
            outcome=_outcome(plan, ended, saved),
            last_checkpoint=max(saved, default=None),
        )
        _close_record(entry, folder, report)
    if fault:
        where = f"{fault.remedy} Its record and output are in {folder}.{_way_on(entry)}"
        fault.remedy = where.strip()
        raise fault
    _raise_unless_completed(plan, ended, entry, folder)
    last = f"last checkpoint {prefix},{max(saved)}" if saved else "no checkpoint"
    report(f"{plan.stage.title}: completed after {ended.seconds:.0f} s; {last}")
    return folder


def _open_record(
    plan: StagePlan,
    surroundings: Surroundings,
    engine: Engine,
    environment: Mapping[str, str],
    added: Sequence[str],
    *,
    data_set: Fingerprint,
    archive: Archive | None,
) -> Record:
    start = plan.start
    return Record(
        recipe=plan.recipe,
        stage=plan.stage.number,
        name=plan.stage.name,
        command=(surroundings.python, "-u", plan.script, *plan.arguments, *added),
        shell_line=shell_line(plan, surroundings.python, engine.modules),
        folder=str(surroundings.source),
        environment={
            name: value
            for name, value in environment.items()
            if surroundings.environment.get(name) != value
        },
        batch_size=plan.batch_size,
        steps=plan.steps,
        verbose=plan.verbose,
        prefix=str(surroundings.place(plan.prefix)),
        data_dir=str(surroundings.place(plan.data_dir)),
        start=f"{surroundings.place(start.prefix)},{start.number}" if start else None,
        versions={
            "mfn-patcher": importlib.metadata.version("mfn-patcher"),
            "python": engine.interpreter.python,
            **engine.interpreter.versions,
        },
        engine=engine.as_json(),
        pin=surroundings.code.pin,
        chain_commit=surroundings.code.commit,
        patches=surroundings.code.patches,
        edited=bool(surroundings.code.edits),
        data_set=data_set,
        seed=plan.seed,
        resumed_from=plan.resumption.run if plan.resumption else None,
        resumed_checkpoint=plan.resumed_from,
        archive=str(archive.folder) if archive else None,
        started=record.utc_now(),
    )


def _close_record(entry: Record, folder: Path, report: Callable[[str], None]) -> None:
    """Write what came of a run; what becomes of its folder must not decide that."""
    if not folder.is_dir():
        report(
            f"warning: {folder} was removed during the run, and the output of the script with it"
        )
    try:
        record.write(entry, folder)
    except OSError as error:
        report(f"warning: the record of the run can't be written to {folder}: {error.strerror}")


def _kept(plan: StagePlan, surroundings: Surroundings) -> int | None:
    start = plan.start
    same = start and surroundings.place(start.prefix) == surroundings.place(plan.prefix)
    return start.number if start and same else None


def _outcome(plan: StagePlan, ended: Ended | None, saved: Sequence[int]) -> str:
    if ended is None:
        return "failed"
    if ended.signal:
        return "interrupted"
    if (
        ended.stopped
        or ended.status
        or (plan.last_checkpoint and plan.last_checkpoint not in saved)
    ):
        return "failed"
    return "completed"


def _raise_unless_completed(plan: StagePlan, ended: Ended, entry: Record, folder: Path) -> None:
    title = plan.stage.title
    if entry.outcome == "interrupted":
        last = entry.last_checkpoint
        raise TrainingInterruptedError(
            f"{title} was interrupted by {entry.signal} after {ended.seconds:.0f} s, with "
            + (f"checkpoint {last} saved" if last else "no checkpoint saved"),
            remedy=f"Its record and output are in {folder}.{_way_on(entry)}",
        )
    if entry.outcome == "failed":
        if ended.stopped:
            raise TrainingError(
                f"{title} was stopped: {ended.stopped}",
                remedy=f"Its record and output are in {folder}. --keep-going lets it go on.",
            )
        reason = f"exit status {ended.status}"
        if ended.status < 0:
            reason = f"killed by {signal.Signals(-ended.status).name}"
        elif not ended.status:
            reason = f"it ended without saving checkpoint {plan.last_checkpoint}"
        failure = explain(ended.tail, edited=entry.edited, arguments=plan.has_own_arguments)
        if failure and ended.status > 0:
            raise TrainingError(
                f"{title} failed: {failure.what}",
                remedy=f"{failure.remedy} All of its output is in {folder / record.LOG}."
                f"{_way_on(entry)}",
            )
        raise TrainingError(
            "\n".join([f"{title} failed: {reason}; its last lines:", *ended.tail]),
            remedy=f"All of its output is in {folder / record.LOG}.{_way_on(entry)}",
        )


def _way_on(entry: Record) -> str:
    if entry.seed is None or entry.last_checkpoint is entry.resumed_checkpoint is None:
        return ""
    last = checkpoints.last_complete(Path(entry.prefix))
    return f" --resume goes on from checkpoint {last.number}." if last else ""
