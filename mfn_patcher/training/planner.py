"""Planning: combines the options of a user with a recipe, changing as little as they ask.

A plan is a function of the recipe and the options alone: neither files nor the environment are
read. Every difference from the documented command carries its reason.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mfn_patcher.arguments import value_of
from mfn_patcher.engine.devices import count_gpus
from mfn_patcher.recipes.model import SCRIPT_CHECKPOINT_EVERY, Recipe, Stage, StageCheckpoint
from mfn_patcher.trainer.mfn_trainer.precision import FP32
from mfn_patcher.training.devices import choose_devices
from mfn_patcher.training.options import Options, PlanError
from mfn_patcher.training.plan import Added, Changed, StagePlan, Start


def plan_chain(recipe: Recipe, stages: Sequence[Stage], options: Options) -> tuple[StagePlan, ...]:
    """Plan stages that run one after another.

    Only the first starts from the user's `pretrained` checkpoint; each later stage starts from
    the one before it.

    Raises:
        PlanError: the options are invalid, or a stage would have nothing to start from.
    """
    if options.until_stopped and len(stages) > 1:
        raise PlanError(
            "--until-stopped never reaches the next stage",
            remedy="Choose one stage, or give --max-steps.",
        )
    following = dataclasses.replace(options, pretrained=None)
    return tuple(
        plan(recipe, stage, following if index else options) for index, stage in enumerate(stages)
    )


def plan(recipe: Recipe, stage: Stage, options: Options) -> StagePlan:
    """Plan one stage.

    Raises:
        PlanError: the options are invalid, or the stage would have nothing to start from.
    """
    options.check()
    return _Planner(recipe, stage, options).plan()


@dataclass
class _Draft:
    """The command of a stage under construction."""

    tokens: list[str]
    added: list[Added] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def value(self, option: str) -> str:
        return self.tokens[self.tokens.index(option) + 1]

    def replace(self, option: str, value: str, reason: str) -> None:
        documented = self.value(option)
        if value != documented:
            self.tokens[self.tokens.index(option) + 1] = value
            self.changed.append(Changed(option, documented, value, reason))

    def put(self, option: str, value: str, reason: str) -> None:
        """Replace the documented value; where there is none, add it."""
        if option in self.tokens:
            self.replace(option, value, reason)
        else:
            self.add((option, value), reason)

    def add(self, tokens: tuple[str, ...], reason: str, *, by_user: bool = False) -> None:
        self.added.append(Added(tokens, reason, by_user))

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass(frozen=True)
class _Scale:
    """How step counts are rescaled: from the documented batch size to the one in use."""

    documented: int
    batch_size: int

    def steps(self, documented: int) -> int:
        """Return the number of steps that processes the same number of images; a half rounds up."""
        return (2 * documented * self.documented + self.batch_size) // (2 * self.batch_size)

    @property
    def ratio(self) -> str:
        """The factor, such as ``512/256``; empty if nothing is rescaled."""
        return f"{self.documented}/{self.batch_size}" if self.documented != self.batch_size else ""


class _Planner:
    """Plans one stage, one decision per method."""

    def __init__(self, recipe: Recipe, stage: Stage, options: Options) -> None:
        self._recipe = recipe
        self._stage = stage
        self._options = options
        self._draft = _Draft(list(stage.arguments))
        self._checkpoint_every = options.checkpoint_every or recipe.checkpoint_every

    def plan(self) -> StagePlan:
        options, draft = self._options, self._draft
        visible_devices = self._choose_devices()
        batch_size = self._choose_batch(count_gpus(visible_devices) or 1)
        documented = self._recipe.batch_size
        self._scale = _Scale(documented, batch_size if options.scale_steps else documented)
        self._scale_lr_steps()
        self._choose_folders()
        start = self._choose_start()
        steps = self._choose_steps()
        self._choose_interval()
        self._choose_seed()
        self._choose_precision(visible_devices)
        self._choose_kept()
        if options.script_arguments:
            draft.add(options.script_arguments, "given after --", by_user=True)
        last_checkpoint = self._last_checkpoint(steps)
        prefix = draft.value("--prefix")
        if start and start.prefix == prefix:
            draft.note(
                "overwrites the checkpoints that it starts from; mfn-patch train first moves them "
                "aside, but this line by itself does not"
            )
        if not visible_devices:
            draft.note(
                "on the CPU, OMP_NUM_THREADS defaults to the number of cores, and "
                "GOMP_SPINCOUNT to 10000"
            )
        return StagePlan(
            recipe=self._recipe.name,
            stage=self._stage,
            script=self._recipe.script,
            documented=tuple(draft.tokens),
            added=tuple(draft.added),
            changed=tuple(draft.changed),
            visible_devices=visible_devices,
            batch_size=batch_size,
            steps=steps,
            checkpoint_every=self._checkpoint_every,
            prefix=prefix,
            data_dir=draft.value("--data-dir"),
            start=start,
            last_checkpoint=last_checkpoint,
            seed=options.seed,
            precision=options.precision,
            keep=options.keep,
            notes=tuple(draft.notes),
        )

    def _choose_devices(self) -> str:
        documented = self._recipe.cuda_visible_devices
        value, reason = choose_devices(self._recipe, self._options)
        if value != documented:
            self._draft.changed.append(Changed("CUDA_VISIBLE_DEVICES", documented, value, reason))
        return value

    def _choose_batch(self, local: int) -> int:
        """Split the batch over `local` devices of each worker; return the images per step."""
        options, draft, documented = self._options, self._draft, self._recipe.batch_size
        workers = options.workers or 1
        total = local * workers
        batch_size = options.batch_size or documented
        each, rest = divmod(batch_size, total)
        where = f"{local} device{'s' if local > 1 else ''}"
        if workers > 1:
            where += f" on each of {workers} workers"
        if rest or not each:
            nearest = [str(n * total) for n in (each, each + 1) if n]
            raise PlanError(
                f"a batch of {batch_size} cannot be split evenly over "
                + (where if workers > 1 else f"{total} GPUs"),
                remedy=f"Give --batch-size {' or '.join(nearest)}.",
            )
        reason = "given as --batch-size"
        if total > 1 or not options.batch_size:
            reason = f"{batch_size} images per step over {where}"
        draft.replace("--per-batch-size", str(each), reason)
        if options.workers is not None:
            draft.add(
                ("--kvstore", "dist_sync"),
                f"sums the gradients of {options.workers} workers",
            )
        if batch_size != documented and not options.scale_steps:
            draft.note(
                f"the step counts are meant for {documented} images per step, not {batch_size}; "
                "--scale-steps rescales them"
            )
        return batch_size

    def _scale_lr_steps(self) -> None:
        ratio = self._scale.ratio
        if not ratio:
            return
        documented = str(self._stage.value("--lr-steps")).split(",")
        steps = [self._scale.steps(int(step)) for step in documented]
        self._draft.replace(
            "--lr-steps", ",".join(map(str, steps)), f"--scale-steps multiplies it by {ratio}"
        )
        self._draft.note(
            f"the documented step counts are multiplied by {ratio}: learning-rate steps, the last "
            "step, and the step of the checkpoint to start from"
        )

    def _choose_folders(self) -> None:
        options, draft = self._options, self._draft
        if options.data_dir:
            draft.replace("--data-dir", str(options.data_dir), "given as --data-dir")
        if options.models_dir:
            prefix = _moved(draft.value("--prefix"), options.models_dir)
            draft.replace("--prefix", prefix, "given as --models-dir")

    def _choose_start(self) -> Start | None:
        options, draft, needed = self._options, self._draft, self._stage.starts_from
        documented = self._stage.value("--pretrained")
        if options.pretrained:
            start = Start(*options.pretrained, stage=None)
            reason = "given as --pretrained"
            if not needed and not documented:
                reason += "; the recipe starts from random parameters"
            draft.put("--pretrained", f"{start.prefix},{start.number}", reason)
            return start
        if not needed:
            if documented is None:
                return None
            beginning, _, epoch = documented.partition(",")
            return Start(beginning, int(epoch), stage=None)
        source = self._recipe.stage(needed.stage)
        step = self._step_of(needed)
        number = step // self._checkpoint_every
        if not number:
            raise self._nothing_to_start_from(source, step)
        prefix = _moved(str(source.value("--prefix")), options.models_dir)
        reason = "given as --models-dir"
        if number != needed.step // self._recipe.checkpoint_every:
            reason = (
                f"{source.title} saves a checkpoint every {self._checkpoint_every} of its "
                f"{step} steps"
            )
        draft.replace("--pretrained", f"{prefix},{number}", reason)
        draft.note(
            f"starts from checkpoint {number}, which {source.title} saves at step "
            f"{number * self._checkpoint_every}"
        )
        return Start(prefix, number, source.number)

    def _nothing_to_start_from(self, source: Stage, step: int) -> PlanError:
        every = self._checkpoint_every
        ways = [f"--checkpoint-every {step} or less", "--pretrained PREFIX,EPOCH"]
        if self._options.max_steps is not None:
            ways.insert(0, f"--max-steps {every} or more")
        return PlanError(
            f"{self._stage.title} would have nothing to start from: {source.title} saves a "
            f"checkpoint every {every} steps, and ends after {step}",
            remedy=f"Give {', or '.join(ways)}.",
        )

    def _choose_steps(self) -> int | None:
        options, draft, stage = self._options, self._draft, self._stage
        if options.until_stopped:
            # The script takes 0 for no limit.
            if stage.value("--max-steps"):
                draft.put("--max-steps", "0", "given as --until-stopped")
            draft.note("trains until it is stopped, for example with Ctrl-C")
            return None
        steps = options.max_steps or self._scale.steps(stage.steps)
        reason = "given as --max-steps"
        if not options.max_steps:
            scaled = f", multiplied by {self._scale.ratio}" if self._scale.ratio else ""
            reason = stage.steps_reason + scaled
        draft.put("--max-steps", str(steps), reason)
        if stage.late_lr_steps and not options.max_steps:
            draft.note(f"some learning-rate steps come after the last step: {stage.late_lr_steps}")
        return steps

    def _choose_interval(self) -> None:
        every, recipe = self._checkpoint_every, self._recipe.checkpoint_every
        if every == int(self._stage.value("--verbose") or SCRIPT_CHECKPOINT_EVERY):
            return
        default = (
            f"the recipe's default is {recipe}"
            if every != recipe
            else f"the script's default is {SCRIPT_CHECKPOINT_EVERY}"
        )
        self._draft.put(
            "--verbose", str(every), f"verifies and saves every {every} steps; {default}"
        )

    def _choose_seed(self) -> None:
        if self._options.seed is not None:
            self._draft.add(
                ("--seed", str(self._options.seed)),
                "makes the data order repeatable and saves the momentum, which --resume needs",
            )

    def _choose_precision(self, visible_devices: str) -> None:
        precision = self._options.precision
        if precision == FP32:
            return
        if precision == "tf32" and not visible_devices:
            raise PlanError(
                "--precision tf32 requires a GPU", remedy="On the CPU, omit --precision."
            )
        self._draft.add(
            ("--precision", precision),
            "computes the network faster and less precisely than the recipe, in single precision",
        )

    def _choose_kept(self) -> None:
        options = self._options
        if options.keep is None:
            return
        needed = {
            self._step_of(later.starts_from) // self._checkpoint_every
            for later in self._recipe.stages
            if later.starts_from and later.starts_from.stage == self._stage.number
        }
        tokens = ["--keep", str(options.keep)]
        reason = "given as --keep"
        if needed:
            tokens += ["--keep-always", ",".join(map(str, sorted(needed)))]
            reason += "; the checkpoint that a later stage starts from is kept as well"
        self._draft.add(tuple(tokens), reason)

    def _step_of(self, checkpoint: StageCheckpoint) -> int:
        return self._options.max_steps or self._scale.steps(checkpoint.step)

    def _last_checkpoint(self, steps: int | None) -> int | None:
        draft = self._draft
        if value_of(self._options.script_arguments, "--ckpt") is not None:
            draft.note("your --ckpt decides which checkpoints are saved")
            return None
        if not self._stage.saves_all:
            draft.note(
                "the script saves only checkpoints that it finds good enough; "
                "-- --ckpt 2 saves all of them"
            )
            return None
        if steps is None:
            return None
        last = steps // self._checkpoint_every
        if not last:
            draft.note(
                f"no checkpoint will be saved: the stage ends after {steps} steps, and the first "
                f"checkpoint would be saved at step {self._checkpoint_every}"
            )
        return last


def _moved(prefix: str, folder: Path | None) -> str:
    return str(folder / posixpath.basename(prefix)) if folder else prefix
