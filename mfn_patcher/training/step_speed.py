"""How fast this machine trains, what bounds it, and how long a recipe would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_patcher.children import dry_run
from mfn_patcher.data.property_file import read_property
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import published
from mfn_patcher.recipes.model import Recipe, Stage
from mfn_patcher.training import feed_speed
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.script import require_script

_PROGRAM = "step"
_IMAGES_PER_PAIR = 4  # two faces, each of them also mirrored
_FEED_SECONDS = 1.0  # a turn of the feed alone; it is steadier than training steps


class StepError(MfnPatchError):
    """The training step cannot be timed."""


@dataclass(frozen=True)
class Workload:
    """The images that a whole recipe computes on.

    Attributes:
        trained: images that are trained on.
        verified: images that the verifications of the published sets embed, if all of these that
            the script measures are there.
    """

    trained: int
    verified: int

    @classmethod
    def of(cls, recipe: Recipe) -> Workload:
        """Return the workload of all stages of a recipe, as it is documented."""
        pairs = sum(
            stage.steps // recipe.checkpoint_every * _count_pairs(stage) for stage in recipe.stages
        )
        return cls(
            trained=sum(stage.steps for stage in recipe.stages) * recipe.batch_size,
            verified=pairs * _IMAGES_PER_PAIR,
        )

    def hours(self, training: float, forward: float) -> float:
        """Return how many hours it takes, without reading verification sets and saving.

        Args:
            training: rate of training, in images per second.
            forward: rate of verification's forward passes, in images per second.
        """
        return (self.trained / training + self.verified / forward) / 3600


def _count_pairs(stage: Stage) -> int:
    """Return how many pairs of published sets a verification of a stage has."""
    target = stage.value("--target")
    names = list(published.PAIRS) if target is None else target.split(",")
    return sum(published.PAIRS.get(name, 0) for name in names)


@dataclass(frozen=True)
class StepRates:
    """What was measured; rates are in images per second.

    Attributes:
        identities: width of the last layer.
        compute: rate of training steps on a batch that is there already.
        forward: rate of verification's forward passes.
        training: rate of training steps with a data set's feed; None without a data set.
        feed: rates of the feed and the disk alone; None without a data set.
        peak_bytes: largest amount of memory in use: of the process on the CPU, of the first GPU
            otherwise.
    """

    identities: int
    compute: float
    forward: float
    training: float | None
    feed: feed_speed.FeedRates | None
    peak_bytes: int

    @property
    def best(self) -> float:
        """The rate closest to a real training's."""
        return self.training or self.compute

    @property
    def parts(self) -> dict[str, float]:
        """The rate of each part that could bound training, on its own.

        The disk is one of them only if the data set does not fit in memory: otherwise it is read
        from there after the first epoch.
        """
        parts = {"compute": self.compute}
        if self.feed:
            parts["feed"] = self.feed.fastest
            if self.feed.file_bytes > self.feed.memory_bytes:
                parts["disk"] = self.feed.disk
        return parts

    @property
    def bound(self) -> str:
        """The slowest part: ``compute``, ``feed`` or ``disk``."""
        parts = self.parts
        return min(parts, key=lambda name: parts[name])

    def verdict(self) -> str:
        """Return what bounds training, and what would make it faster."""
        if self.feed is None:
            return "Only the computation was measured; --data-dir DIR also measures the feed."
        if self.bound == "compute":
            return "Training is bound by computation: the feed is faster."
        return f"Training is bound by its feed. The feed is {feed_speed.verdict(self.feed)}"


def default_stage(recipe: Recipe) -> Stage:
    """Return the stage that a recipe trains longest."""
    return max(recipe.stages, key=lambda stage: stage.steps)


def measure(
    plan: StagePlan,
    workspace: Path,
    engine: Engine,
    environment: Mapping[str, str],
    *,
    data_dir: Path | None,
    seconds: float,
) -> StepRates:
    """Time steps of the real script on the devices of a plan.

    Args:
        plan: plan of the stage.
        workspace: the patched clone.
        engine: what computes.
        environment: the variables to start from.
        data_dir: absolute path of a data set whose feed is also measured; None for random images.
        seconds: how long each kind of step is timed.

    Raises:
        TrainingError: The script is missing.
        StepError: The script fails.
        FeedError: The feed cannot be measured.
        PropertyError: The data set's ``property`` is missing or unsuitable.
        DryRunError: The script ended the interpreter.
    """
    workspace = workspace.resolve()
    source = workspace / "src"
    require_script(source, plan.script)
    feed, identities = None, published.IDENTITIES
    if data_dir:
        identities = read_property(data_dir).classes
        feed = feed_speed.measure(
            workspace,
            data_dir,
            batch_size=plan.batch_size,
            workers=feed_speed.default_workers()[-1:],
            seconds=min(seconds, _FEED_SECONDS),
            python=engine.interpreter.path,
            environment=environment,
            wanted=engine.name,
        )
    report = dry_run.ask(
        source,
        engine.interpreter.path,
        engine.training_environment(environment, plan.visible_devices, workspace),
        [plan.arguments],
        classes=identities,
        program=_PROGRAM,
        options=[str(seconds), str(identities), *(["--fed"] if data_dir else [])],
        data_dir=data_dir,
    )
    found = _only_case(report)
    return StepRates(
        identities=identities,
        compute=found["compute"],
        forward=found["forward"],
        training=found["fed"],
        feed=feed,
        peak_bytes=found["peak_bytes"],
    )


def _only_case(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of the program.

    Raises:
        StepError: The script failed.
    """
    if "error" in report:
        out_of_memory = "out of memory" in report["error"].lower()
        raise StepError(
            f"the script failed: {report['error']}",
            remedy="Try a smaller --batch-size." if out_of_memory else "",
        )
    found: Mapping[str, Any] = report["cases"][0]
    return found
