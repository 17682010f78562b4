"""What a stage will run: the documented command, changed as little as the user's options ask.

A plan is a function of the recipe and the options alone: neither files nor the environment are
looked at. Every difference from the recipe carries its reason.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.recipes.model import Recipe, Stage, StageCheckpoint

# Arguments of the script that the tool reckons with, and the tool's options for them.
_OWN = {
    "--max-steps": "--max-steps or --until-stopped",
    "--verbose": "--checkpoint-every",
    "--prefix": "--models-dir",
    "--data-dir": "--data-dir",
    "--pretrained": "--pretrained",
    "--per-batch-size": "--batch-size",
    "--seed": "--seed",
    "--resume": "--resume",
    "--keep": "--keep",
    "--keep-always": "--keep",
    "--kvstore": "--cluster",
    "--progress": "--cluster",
}

SEED = 0
"""Of trainings for which no other is asked: the same command makes the same training."""

_YOURS = "yours"
_DEVICE = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")


class PlanError(MfnPatchError):
    """The options contradict one another, the recipe or the script."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Options:
    """What the user asks for; whatever is None stays as documented.

    Attributes:
        data_dir: Of the data set; absolute, for the script runs in another folder.
        models_dir: Where checkpoints are saved; absolute.
        gpus: Indices or UUIDs of GPUs, separated by commas.
        cpu: Train on the CPU.
        batch_size: Images a step, over all devices of all workers.
        workers: Ranks of a training over several hosts; None for a training by itself.
        scale_steps: Rescale step counts to `batch_size`.
        max_steps: Steps to train for, not rescaled.
        until_stopped: Train without an end.
        checkpoint_every: Steps from one checkpoint to the next.
        pretrained: Prefix (absolute) and number of the checkpoint to start from.
        seed: Of all that is random; None for the script's way, which no training repeats.
        keep: How many of the last checkpoints to keep, beside the best; None for all.
        script_arguments: Appended to the command as they are.
        visible_devices: ``CUDA_VISIBLE_DEVICES`` of the user's environment.
    """

    data_dir: Path | None = None
    models_dir: Path | None = None
    gpus: str | None = None
    cpu: bool = False
    batch_size: int | None = None
    workers: int | None = None
    scale_steps: bool = False
    max_steps: int | None = None
    until_stopped: bool = False
    checkpoint_every: int | None = None
    pretrained: tuple[str, int] | None = None
    seed: int | None = None
    keep: int | None = None
    script_arguments: tuple[str, ...] = ()
    visible_devices: str | None = None


@dataclass(frozen=True)
class Added:
    """Tokens that the document does not have, and why they are there."""

    tokens: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Changed:
    """A documented value that is replaced, and why."""

    name: str
    documented: str
    value: str
    reason: str


@dataclass(frozen=True)
class Start:
    """The checkpoint that a stage starts from.

    Attributes:
        prefix: Of its files, as the script is told.
        number: Of the checkpoint.
        stage: Number of the stage that saves it; None for one that the user names.
    """

    prefix: str
    number: int
    stage: int | None


@dataclass(frozen=True)
class Resumption:
    """The run that a stage goes on from.

    Attributes:
        run: Name of its folder; None if its record is missing.
        checkpoint: Number of its last complete checkpoint; None if it has saved none, so that the
            stage begins at its beginning.
    """

    run: str | None
    checkpoint: int | None


@dataclass(frozen=True)
class StagePlan:
    """All about one run of the script, before it starts.

    Attributes:
        recipe: Its name.
        stage: Of the recipe.
        script: Its file name.
        documented: The documented tokens, with changed values in their places.
        added: What follows them.
        changed: The changes in `documented` and in the environment.
        visible_devices: Value of ``CUDA_VISIBLE_DEVICES``; empty for the CPU.
        batch_size: Images a step, over all devices of all workers.
        steps: Number of steps; None for no end.
        verbose: Steps from one checkpoint to the next.
        prefix: Of the checkpoints to save, as the script is told.
        data_dir: As the script is told.
        start: What it starts from; None for random parameters.
        last_checkpoint: Number of the last checkpoint of a whole run; 0 if there will be none,
            None if that can't be told.
        seed: Of all that is random; None without one.
        keep: How many of the last checkpoints are kept, beside the best; None for all.
        notes: What else to know.
        resumption: The run that it goes on from; None for one that starts by itself.
    """

    recipe: str
    stage: Stage
    script: str
    documented: tuple[str, ...]
    added: tuple[Added, ...]
    changed: tuple[Changed, ...]
    visible_devices: str
    batch_size: int
    steps: int | None
    verbose: int
    prefix: str
    data_dir: str
    start: Start | None
    last_checkpoint: int | None
    seed: int | None
    keep: int | None
    notes: tuple[str, ...]
    resumption: Resumption | None = None

    @property
    def resumed_from(self) -> int | None:
        """Number of the checkpoint of its own that it goes on from; None if it has none."""
        return self.resumption.checkpoint if self.resumption else None

    @property
    def arguments(self) -> tuple[str, ...]:
        """All tokens after the script's name."""
        return self.documented + tuple(token for added in self.added for token in added.tokens)

    @property
    def has_own_arguments(self) -> bool:
        """Whether the user has given arguments for the script."""
        return any(added.reason == _YOURS for added in self.added)

    @property
    def devices(self) -> int:
        """Number of GPUs; 0 for the CPU."""
        return len(self.visible_devices.split(",")) if self.visible_devices else 0

    @property
    def distributed(self) -> bool:
        """Whether it is one of several hosts that train together."""
        return "--kvstore" in self.arguments

    @property
    def targets(self) -> tuple[str, ...] | None:
        """Names of the verification sets that the user asks for; None for the script's own."""
        value = self.value("--target")
        return None if value is None else tuple(value.split(","))

    def value(self, option: str) -> str | None:
        """Return the value of an argument as the script takes it: the last one; None without."""
        found = None
        for argument, following in zip(self.arguments, (*self.arguments[1:], "")):
            name, equals, value = argument.partition("=")
            if name == option:
                found = value if equals else following
        return found


def plan_chain(recipe: Recipe, stages: Sequence[Stage], options: Options) -> tuple[StagePlan, ...]:
    """Plan stages that run one after another.

    Only the first starts from the user's `pretrained`; each other one from its predecessor.

    Raises:
        PlanError: The options make no sense, or a stage would have nothing to start from.
    """
    if options.until_stopped and len(stages) > 1:
        raise PlanError(
            "--until-stopped never comes to the next stage",
            remedy="Name one stage, or give --max-steps.",
        )
    following = dataclasses.replace(options, pretrained=None)
    return tuple(
        plan(recipe, stage, following if index else options) for index, stage in enumerate(stages)
    )


def plan(recipe: Recipe, stage: Stage, options: Options) -> StagePlan:
    """Plan one stage.

    Raises:
        PlanError: The options make no sense, or the stage would have nothing to start from.
    """
    _check(options)
    draft = _Draft(list(stage.arguments))
    visible_devices = _choose_devices(recipe, options, draft)
    batch_size = _choose_batch(recipe, options, visible_devices, draft)
    scale = _Scale(recipe.batch_size, batch_size if options.scale_steps else recipe.batch_size)
    _scale_lr_steps(stage, scale, draft)
    _choose_folders(options, draft)
    verbose = options.checkpoint_every or recipe.checkpoint_every
    start = _choose_start(recipe, stage, options, scale, draft)

    steps = None if options.until_stopped else options.max_steps or scale.steps(stage.steps)
    if steps is None:
        # The script takes 0 for no end.
        if stage.value("--max-steps"):
            draft.put("--max-steps", "0", "given as --until-stopped")
        draft.note("it trains until it is stopped, for instance with Ctrl-C")
    else:
        reason = "given as --max-steps" if options.max_steps else stage.steps_reason + scale.words
        draft.put("--max-steps", str(steps), reason)
    if stage.late_lr_steps and not options.max_steps and steps is not None:
        draft.note(f"lr steps come after its end: {stage.late_lr_steps}")
    if options.checkpoint_every:
        draft.put(
            "--verbose",
            str(verbose),
            f"verification and a checkpoint every {verbose} steps, not every "
            f"{recipe.checkpoint_every}",
        )
    if options.seed is not None:
        draft.add(
            ("--seed", str(options.seed)),
            "the same data order each time, and momentum saved, so that --resume can go on",
        )
    _choose_kept(recipe, stage, options, scale, draft)
    if options.script_arguments:
        draft.add(options.script_arguments, _YOURS)

    last_checkpoint = None if steps is None else steps // verbose
    if any(token.partition("=")[0] == "--ckpt" for token in options.script_arguments):
        last_checkpoint = None
        draft.note("which checkpoints are saved is up to your --ckpt")
    elif not stage.saves_all:
        last_checkpoint = None
        draft.note(
            "the script saves only checkpoints that it finds good enough; -- --ckpt 2 saves all"
        )
    if last_checkpoint == 0:
        draft.note(
            f"no checkpoint will be saved: that happens every {verbose} steps, "
            f"and the stage ends after {steps}"
        )
    prefix = draft.value("--prefix")
    if start and start.prefix == prefix:
        draft.note(
            "it saves over the checkpoints that it starts from; mfn-patch train moves those aside "
            "first, which this line alone does not"
        )
    if not visible_devices:
        draft.note("on the CPU, OMP_NUM_THREADS is set to the number of cores unless you set it")
    return StagePlan(
        recipe=recipe.name,
        stage=stage,
        script=recipe.script,
        documented=tuple(draft.tokens),
        added=tuple(draft.added),
        changed=tuple(draft.changed),
        visible_devices=visible_devices,
        batch_size=batch_size,
        steps=steps,
        verbose=verbose,
        prefix=prefix,
        data_dir=draft.value("--data-dir"),
        start=start,
        last_checkpoint=last_checkpoint,
        seed=options.seed,
        keep=options.keep,
        notes=tuple(draft.notes),
    )


def go_on(plan: StagePlan, resumption: Resumption) -> StagePlan:
    """Return the plan of a stage that goes on from what an earlier run has left."""
    if resumption.checkpoint is None:
        return dataclasses.replace(plan, resumption=resumption)
    step = resumption.checkpoint * plan.verbose
    who = f"run {resumption.run}" if resumption.run else "a run without a record"
    added = Added(
        ("--resume", str(resumption.checkpoint)),
        f"from step {step} on, where {who} has left its last whole checkpoint",
    )
    return dataclasses.replace(plan, resumption=resumption, added=(*plan.added, added))


def shell_line(plan: StagePlan, python: str = "python", modules: Path | None = None) -> str:
    """Return the command as a shell takes it: the document's line, then what is added.

    Args:
        plan: Of the stage.
        python: The interpreter.
        modules: Folder of Python packages that must be found first; None if there is none.
    """
    words = [shlex.quote(python), "-u", *map(shlex.quote, (plan.script, *plan.arguments))]
    devices = f"CUDA_VISIBLE_DEVICES='{plan.visible_devices}'"
    path = [f"PYTHONPATH={shlex.quote(str(modules))}"] if modules else []
    return " ".join([*path, devices, *words])


def explain(
    plan: StagePlan,
    folder: Path,
    python: str,
    engine: str,
    modules: Path | None = None,
) -> str:
    """Return the command for people: where it runs, the line, and each difference's reason.

    Args:
        plan: Of the stage.
        folder: Where the script is.
        python: The interpreter that ``python`` stands for in the line.
        engine: What computes, and why.
        modules: As for `shell_line`.
    """
    lines = [f"{plan.stage.title}, run in {folder}, python is {python}"]
    lines.append(f"engine: {engine}")
    lines += [f"added: {shlex.join(added.tokens)} — {added.reason}" for added in plan.added]
    for change in plan.changed:
        values = f"{change.name} {shlex.quote(change.value)}"
        lines.append(f"changed: {values}, documented {change.documented} — {change.reason}")
    lines += [f"note: {note}" for note in plan.notes]
    # A line break inside a path would end the comment and begin a command.
    first, *others = ("# " + line.replace("\n", " ") for line in lines)
    return "\n".join([first, shell_line(plan, modules=modules), *others])


@dataclass
class _Draft:
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

    def add(self, tokens: tuple[str, ...], reason: str) -> None:
        self.added.append(Added(tokens, reason))

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass(frozen=True)
class _Scale:
    documented: int
    batch_size: int

    def steps(self, documented: int) -> int:
        """Return the number of steps that sees as many images; a half rounds up."""
        return (2 * documented * self.documented + self.batch_size) // (2 * self.batch_size)

    @property
    def words(self) -> str:
        changed = self.documented != self.batch_size
        return f", here times {self.documented}/{self.batch_size}" if changed else ""


def _check(options: Options) -> None:
    if options.until_stopped and options.max_steps:
        raise PlanError("--until-stopped and --max-steps exclude each other")
    paths = [options.data_dir, options.models_dir, (options.pretrained or ("",))[0]]
    for path in paths:
        if path and "," in str(path):
            raise PlanError(
                f"there is a comma in {str(path)!r}, at which the script splits",
                remedy="Give a path without one, for instance a symbolic link.",
            )
    for token in options.script_arguments:
        # argparse takes an option's first letters for the option.
        name = token.partition("=")[0]
        for own, ours in _OWN.items():
            if len(name) > len("--") and own.startswith(name):
                raise PlanError(
                    f"{token!r} after -- would go past the tool, which reckons with {own}",
                    remedy=f"Use {ours} of mfn-patch train, before the --.",
                )


def choose_devices(recipe: Recipe, options: Options) -> tuple[str, str]:
    """Return the value of ``CUDA_VISIBLE_DEVICES``, empty for the CPU, and where it is from.

    Raises:
        PlanError: The options contradict each other, or name what is no GPU.
    """
    if options.cpu and options.gpus is not None:
        raise PlanError("--cpu and --gpus exclude each other")
    if options.cpu:
        return "", "given as --cpu"
    if options.gpus is not None:
        _check_devices(options.gpus, "--gpus")
        return options.gpus, "given as --gpus"
    if options.visible_devices is not None:
        value = options.visible_devices.strip()
        if value:
            _check_devices(value, "CUDA_VISIBLE_DEVICES in your environment")
        return value, "your environment has it"
    return recipe.cuda_visible_devices, ""


def _choose_devices(recipe: Recipe, options: Options, draft: _Draft) -> str:
    documented = recipe.cuda_visible_devices
    value, reason = choose_devices(recipe, options)
    if value != documented:
        draft.changed.append(Changed("CUDA_VISIBLE_DEVICES", documented, value, reason))
    return value


def _check_devices(value: str, where: str) -> None:
    devices = value.split(",")
    for device in devices:
        if not _DEVICE.fullmatch(device):
            raise PlanError(
                f"{where}: {device!r} is no GPU",
                remedy="Give indices or UUIDs separated by commas, such as 0,1; --cpu for none.",
            )
    names = [device.lstrip("0") or "0" for device in devices]
    if len(set(names)) < len(names):
        raise PlanError(f"{where}: a GPU is named twice in {value!r}")


def _choose_batch(recipe: Recipe, options: Options, visible_devices: str, draft: _Draft) -> int:
    workers = options.workers or 1
    here = len(visible_devices.split(","))
    devices = here * workers
    batch_size = options.batch_size or recipe.batch_size
    each, rest = divmod(batch_size, devices)
    whole = f"{here} device{'s' if here > 1 else ''}"
    if workers > 1:
        whole += f" of each of {workers} workers"
    if rest or not each:
        nearest = [str(n * devices) for n in (each, each + 1) if n]
        raise PlanError(
            f"a batch of {batch_size} can't be split evenly over "
            + (whole if workers > 1 else f"{devices} GPUs"),
            remedy=f"Give --batch-size {' or '.join(nearest)}.",
        )
    reason = "given as --batch-size"
    if devices > 1 or not options.batch_size:
        reason = f"{batch_size} images a step over {whole}"
    draft.replace("--per-batch-size", str(each), reason)
    if options.workers is not None:
        draft.add(
            ("--kvstore", "dist_sync"),
            f"MXNet's parameter server sums the gradients of {options.workers} workers",
        )
    if batch_size != recipe.batch_size and not options.scale_steps:
        draft.note(
            f"all step counts are meant for {recipe.batch_size} images a step, this has "
            f"{batch_size}; --scale-steps rescales them"
        )
    return batch_size


def _scale_lr_steps(stage: Stage, scale: _Scale, draft: _Draft) -> None:
    if not scale.words:
        return
    ratio = f"{scale.documented}/{scale.batch_size}"
    steps = [scale.steps(int(step)) for step in str(stage.value("--lr-steps")).split(",")]
    draft.replace("--lr-steps", ",".join(map(str, steps)), f"--scale-steps, times {ratio}")
    draft.note(
        f"the documented step counts are multiplied by {ratio}: lr steps, the last step, and the "
        "step of the checkpoint to start from"
    )


def _choose_folders(options: Options, draft: _Draft) -> None:
    if options.data_dir:
        draft.replace("--data-dir", str(options.data_dir), "given as --data-dir")
    if options.models_dir:
        prefix = _moved(draft.value("--prefix"), options.models_dir)
        draft.replace("--prefix", prefix, "given as --models-dir")


def _moved(prefix: str, folder: Path | None) -> str:
    return str(folder / posixpath.basename(prefix)) if folder else prefix


def _choose_start(
    recipe: Recipe, stage: Stage, options: Options, scale: _Scale, draft: _Draft
) -> Start | None:
    feed = stage.starts_from
    if options.pretrained:
        start = Start(*options.pretrained, stage=None)
        reason = "given as --pretrained" if feed else "the recipe starts from random parameters"
        draft.put("--pretrained", f"{start.prefix},{start.number}", reason)
        return start
    if not feed:
        return None
    source = recipe.stage(feed.stage)
    verbose = options.checkpoint_every or recipe.checkpoint_every
    step = _step_of(feed, options, scale)
    number = step // verbose
    if not number:
        _refuse_start(stage, source, step, verbose, explicit=options.max_steps is not None)
    prefix = _moved(str(source.value("--prefix")), options.models_dir)
    reason = "given as --models-dir"
    if number != feed.step // recipe.checkpoint_every:
        reason = f"{source.title} saves every {verbose} of its {step} steps"
    draft.replace("--pretrained", f"{prefix},{number}", reason)
    draft.note(
        f"it starts from checkpoint {number}, which {source.title} saves at step {number * verbose}"
    )
    return Start(prefix, number, source.number)


def _step_of(feed: StageCheckpoint, options: Options, scale: _Scale) -> int:
    return options.max_steps or scale.steps(feed.step)


def _choose_kept(
    recipe: Recipe, stage: Stage, options: Options, scale: _Scale, draft: _Draft
) -> None:
    if options.keep is None:
        return
    verbose = options.checkpoint_every or recipe.checkpoint_every
    feeds = [other.starts_from for other in recipe.stages if other.starts_from]
    needed = {
        _step_of(feed, options, scale) // verbose for feed in feeds if feed.stage == stage.number
    }
    tokens = ["--keep", str(options.keep)]
    reason = "given as --keep"
    if needed:
        tokens += ["--keep-always", ",".join(map(str, sorted(needed)))]
        reason += ", with what a later stage starts from"
    draft.add(tuple(tokens), reason)


def _refuse_start(
    stage: Stage, source: Stage, step: int, verbose: int, *, explicit: bool
) -> NoReturn:
    ways = [f"--checkpoint-every {step} or less", "--pretrained PREFIX,EPOCH"]
    if explicit:
        ways.insert(0, f"--max-steps {verbose} or more")
    raise PlanError(
        f"{stage.title} would have nothing to start from: {source.title} saves a checkpoint every "
        f"{verbose} steps, and ends after {step}",
        remedy=f"Give {', or '.join(ways)}.",
    )


def parse_checkpoint(text: str, folder: Path) -> tuple[str, int]:
    """Return prefix and number of ``PREFIX,EPOCH``.

    Args:
        text: As the user gives it.
        folder: What a relative prefix is relative to.

    Raises:
        PlanError: It has another form.
    """
    prefix, _, number = text.rpartition(",")
    if not prefix or not number.isdecimal():
        raise PlanError(
            f"--pretrained {text!r} is not PREFIX,EPOCH",
            remedy="MODELS/model-y1-arcface,80 is MODELS/model-y1-arcface-0080.params.",
        )
    return absolute(Path(prefix), folder), int(number)


def absolute(path: Path, folder: Path) -> str:
    """Return `path` seen from `folder`, for use in any other folder."""
    return os.path.normpath(folder / path)
