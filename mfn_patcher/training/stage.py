"""One run of the script: checkpoints set aside, a record opened and closed, the script watched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from mfn_patcher import __version__
from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.checkpoints.folder import Archive
from mfn_patcher.checkpoints.lock import hold, name_holder
from mfn_patcher.data.fingerprint import Fingerprint, fingerprint
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.runs import record
from mfn_patcher.runs.record import RunRecord
from mfn_patcher.training import process
from mfn_patcher.training.command_line import shell_line
from mfn_patcher.training.companions import Companions
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.outcome import judge, raise_unless_completed, resume_hint
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.process import ExitResult, Launch
from mfn_patcher.training.watch.progress import PROGRESS
from mfn_patcher.training.watch.supervision import RunWatcher, Supervision

_LOG = logging.getLogger(__name__)


class StageRun:
    """One run of the script.

    Args:
        plan: plan of the stage.
        context: where it runs.
        engine: the engine that trains.
        companions: what works beside the script.
    """

    def __init__(
        self, plan: StagePlan, context: RunContext, engine: Engine, companions: Companions
    ) -> None:
        self._plan = plan
        self._context = context
        self._engine = engine
        self._companions = companions
        self._prefix = context.resolve(plan.prefix)
        self._archive: Archive | None = None

    def run(self, output: BinaryIO, supervision: Supervision) -> Path:
        """Run the script to its end; return the folder of the run.

        Args:
            output: gets the script's output, live.
            supervision: how the run is watched.

        Raises:
            TrainingError: the script failed, or was stopped.
            TrainingInterruptedError: a signal ended it.
            LockedError: another run saves to the same prefix.
            MfnPatchError: a companion failed.
        """
        with hold(self._prefix) as lock:
            return self._run(output, supervision, lock)

    def _run(self, output: BinaryIO, supervision: Supervision, lock: int) -> Path:
        data_set = fingerprint(self._context.resolve(self._plan.data_dir))
        folder = record.new_folder(self._context.runs, self._plan.stage)
        name_holder(lock, folder)
        environment, added = self._companions.begin(
            self._plan,
            folder,
            self._context.training_environment(self._engine, self._plan),
        )
        if self._context.code.has_hooks and not added:
            added = ("--progress", str(folder / PROGRESS))
        self._set_aside()
        before = checkpoints.state(self._prefix)
        entry = self._open_record(folder, environment, added, data_set)
        self._announce(folder)
        launch = Launch(
            self._companions.wrap(entry.command),
            self._context.source,
            environment,
            folder / record.LOG,
            (lock,),
        )
        result: ExitResult | None = None
        fault: MfnPatchError | None = None
        try:
            watcher = RunWatcher(
                self._plan,
                self._prefix,
                folder,
                supervision,
                output,
                others=self._companions.describe,
            )
            with watcher:
                result = process.run(launch, watcher.output, self._companions, watcher)
        finally:
            # Even if the tool itself fails, checkpoints are put back and the record is closed.
            fault = self._companions.end(result)
            if fault and result:
                # Later signals come from a launcher that is cleaning up.
                result = dataclasses.replace(result, stopped=str(fault), signal=None)
            saved = checkpoints.saved_since(self._prefix, before)
            entry = self._close_record(entry, folder, result, saved)
        if fault:
            where = f"{fault.remedy} Its record and output are in {folder}.{resume_hint(entry)}"
            fault.remedy = where.strip()
            raise fault
        raise_unless_completed(self._plan, result, entry, folder)
        last = f"last checkpoint {self._prefix},{max(saved)}" if saved else "no checkpoint saved"
        _LOG.info("%s: completed after %.0f s; %s", self._plan.stage.title, result.seconds, last)
        return folder

    def _set_aside(self) -> None:
        """Move away the checkpoints that the run would overwrite."""
        checkpoints.clean(self._prefix)
        if self._plan.resumed_from is not None:
            return
        start = self._plan.start
        same = start and self._context.resolve(start.prefix) == self._prefix
        keep = start.number if start and same else None
        self._archive = checkpoints.set_aside(self._prefix, keep)
        if self._archive:
            _LOG.info(
                "existing checkpoints of %s were moved to %s", self._prefix, self._archive.folder
            )

    def _announce(self, folder: Path) -> None:
        plan = self._plan
        length = f"{plan.steps} steps" if plan.steps else "no step limit"
        length += f", {plan.batch_size} images per step"
        if plan.resumed_from is not None:
            length += f", resuming from checkpoint {plan.resumed_from}"
        _LOG.info("%s: %s; record in %s", plan.stage.title, length, folder)
        _LOG.info("engine: %s", self._engine.describe())

    def _open_record(
        self,
        folder: Path,
        environment: Mapping[str, str],
        added: Sequence[str],
        data_set: Fingerprint,
    ) -> RunRecord:
        plan, context, start = self._plan, self._context, self._plan.start
        entry = RunRecord(
            recipe=plan.recipe,
            stage=plan.stage.number,
            name=plan.stage.name,
            command=(context.python, "-u", plan.script, *plan.arguments, *added),
            shell_line=shell_line(plan, context.python, self._engine.packages),
            folder=str(context.source),
            environment={
                name: value
                for name, value in environment.items()
                if context.environment.get(name) != value
            },
            batch_size=plan.batch_size,
            steps=plan.steps,
            checkpoint_every=plan.checkpoint_every,
            prefix=str(self._prefix),
            data_dir=str(context.resolve(plan.data_dir)),
            start=f"{context.resolve(start.prefix)},{start.number}" if start else None,
            versions={
                "mfn-patcher": __version__,
                "python": self._engine.interpreter.python,
                **self._engine.interpreter.versions,
            },
            engine=self._engine.as_json(),
            pin=context.code.pin,
            chain_commit=context.code.commit,
            patches=context.code.patches,
            edited=bool(context.code.edits),
            trainer_sha256=context.code.trainer_sha256,
            data_set=data_set,
            seed=plan.seed,
            precision=plan.precision,
            resumed_from=plan.resumption.run if plan.resumption else None,
            resumed_checkpoint=plan.resumed_from,
            archive=str(self._archive.folder) if self._archive else None,
            started=record.utc_now(),
        )
        record.write(entry, folder)
        if context.code.edits:
            (folder / record.EDITS).write_bytes(context.code.edits)
        return entry

    def _close_record(
        self, entry: RunRecord, folder: Path, result: ExitResult | None, saved: Sequence[int]
    ) -> RunRecord:
        """Write what came of the run; a lost folder must not change the outcome."""
        if self._archive and not saved and self._archive.restore():
            entry = dataclasses.replace(entry, archive=None)
            _LOG.info("no checkpoint was saved, so the previous ones were moved back")
        entry = dataclasses.replace(
            entry,
            ended=record.utc_now(),
            seconds=round(result.seconds, 3) if result else None,
            exit_status=result.status if result else None,
            signal=result.signal.name if result and result.signal else None,
            outcome=judge(self._plan, result, saved),
            last_checkpoint=max(saved, default=None),
        )
        if not folder.is_dir():
            _LOG.warning("%s was removed during the run, and the script's output with it", folder)
        try:
            record.write(entry, folder)
        except OSError as error:
            _LOG.warning("cannot write the record of the run to %s: %s", folder, error.strerror)
        return entry
