"""A training on several hosts, from the first word between them to the last."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mfn_patcher.cluster import agreement as facts
from mfn_patcher.cluster import hosts
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.hosts import Host, Others
from mfn_patcher.cluster.lead import Lead
from mfn_patcher.cluster.ranks import Place, Root, addresses, detect, find_root
from mfn_patcher.cluster.roles import Layout, beside_worker, shell_line
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.resume import remaining
from mfn_patcher.training.run import Surroundings, check_host, run_stages
from mfn_patcher.training.watch.supervision import Supervision

_LR = "0.1"  # the script's own


@dataclass(frozen=True)
class Job:
    """How a training is spread.

    Attributes:
        place: Of this process.
        root: Where rank 0 listens.
        patience: Seconds that a step may be late.
        hosts: That this process starts the others on; empty where a launcher does.
    """

    place: Place
    root: Root
    patience: float
    hosts: tuple[Host, ...] = ()


def find(environment: dict[str, str], file: Path | None, root: str | None, patience: float) -> Job:
    """Return how a training is spread, by a file of hosts or by the launcher's variables.

    Raises:
        SetupError: That can't be told.
    """
    if file is None:
        place = detect(environment)
        return Job(place, find_root(place, environment, root), patience)
    found = hosts.arrange(hosts.read(file))
    return Job(found[0].place, hosts.find_root(found, root), patience, found)


def share_devices(gpus: str | None, visible: str | None, place: Place) -> str | None:
    """Return which GPUs a rank gets of those that all ranks of its host were told of.

    Args:
        gpus: Indices or UUIDs, separated by commas; None if nobody named any.
        visible: ``CUDA_VISIBLE_DEVICES``, which launchers may set for each rank.
        place: Of the rank.

    Raises:
        SetupError: They can't be shared out evenly.
    """
    if place.local_size == 1 or (gpus is None and visible is not None):
        return gpus
    devices = gpus.split(",") if gpus else []
    each, rest = divmod(len(devices), place.local_size)
    if rest or not each:
        raise SetupError(
            f"{place.local_size} ranks on {socket.gethostname()} can't share "
            + (f"GPUs {gpus} evenly" if gpus else "GPU 0"),
            remedy="Name as many GPUs for each rank with --gpus, start one rank a host, or train "
            "with --cpu.",
        )
    return ",".join(devices[place.local_rank * each : (place.local_rank + 1) * each])


def explain(job: Job, plans: Sequence[StagePlan], python: str) -> str:
    """Return variables and command of each role that this process starts, itself or by ssh."""
    if not plans:
        return ""
    ranks = [(host.place, _address(host.address)) for host in job.hosts]
    root = _address(job.root.hosts[0])
    if not ranks:
        ranks = [(job.place, _towards(root))]
    layout = Layout(root, job.root.port, job.place.size)
    lines = []
    for place, address in ranks:
        for role in layout.roles(place.rank):
            lines.append(f"# {role} of rank {place.rank}")
            variables = layout.variables(role, place.rank, place.local_rank, address)
            commands = [beside_worker(python)]
            if role == "worker":
                variables["CUDA_VISIBLE_DEVICES"] = plans[0].visible_devices
                commands = [(python, "-u", plan.script, *plan.arguments) for plan in plans]
            lines += [shell_line(variables, command) for command in commands]
    return "\n".join(lines)


def _address(host: str) -> str:
    with contextlib.suppress(SetupError):
        return addresses(host)[0]
    return host


def _towards(root: str) -> str:
    """Return the address of this host that a connection to `root` would have; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((root, 1))
        except OSError:
            return root
        return str(trial.getsockname()[0])


def train_together(
    job: Job,
    plans: Sequence[StagePlan],
    surroundings: Surroundings,
    supervision: Supervision,
    *,
    resume: bool,
    others: Others,
    output: BinaryIO,
    report: Callable[[str], None],
) -> None:
    """Train stages on several hosts, as the rank that this process is.

    Args:
        job: How it is spread.
        plans: Of the stages, in order, as if none had been trained.
        surroundings: Where they run on this host.
        supervision: How they are watched.
        resume: Go on where they were stopped, as rank 0 finds it.
        others: Started while this leads.
        output: Gets the script's output on rank 0.
        report: Gets a line when something is known.

    Raises:
        SetupError: The hosts can't begin.
        FaultError: A host or a process failed.
        OrderedError: Rank 0 ended the training.
        MfnPatchError: Whatever keeps a training on one host from going on.
    """
    data_dir = surroundings.place(plans[0].data_dir)
    if job.place.rank:
        with follower(job, surroundings.python, "train") as hands:
            engine = check_host(plans, surroundings)
            data_set = fingerprint(data_dir).sha256
            hands.present(facts.collect(surroundings.code, plans, engine.interpreter, data_set))
            hands.follow(plans, surroundings, engine, lambda line: report(f"{hands.name}: {line}"))
        return
    with lead(job, surroundings.python, "train", others) as crew:
        members = sorted(crew.members.values(), key=lambda member: member.rank)
        report(", ".join([f"rank 0 on {crew.host}", *(member.name for member in members)]))
        engine = check_host(plans, surroundings)
        data_set = fingerprint(data_dir).sha256
        crew.agree(facts.collect(surroundings.code, plans, engine.interpreter, data_set))
        for plan in plans:
            report(describe(plan, job.place.size))
        if resume:
            plans = remaining(plans, surroundings, report)
        if plans:
            run_stages(
                plans,
                surroundings,
                output,
                report,
                supervision,
                crew=crew,
                engine=engine,
            )


@contextlib.contextmanager
def lead(job: Job, python: str, command: str, others: Others) -> Iterator[Lead]:
    """Yield rank 0 with all others at hand.

    Raises:
        SetupError: Some don't come.
    """
    with others, Lead(job.place, job.root, python, command, job.patience) as crew:
        crew.gather(2 * job.patience, others.failed)
        yield crew


def follower(job: Job, python: str, command: str) -> Follower:
    """Return another rank, once rank 0 has taken it."""
    return Follower(job.place, job.root, python, command, job.patience)


def start_others(job: Job, arguments: Sequence[str], folder: Path) -> Others:
    """Return what starts the ranks that no launcher does.

    Args:
        job: How the command is spread.
        arguments: Of ``mfn-patch``, without ``--hosts``.
        folder: To run in on each host.
    """
    return Others(
        {
            host.place.rank: hosts.ssh_command(host, arguments, job.root, folder, os.environ)
            for host in job.hosts[1:]
        }
    )


def describe(plan: StagePlan, size: int) -> str:
    """Return what the ranks do together: images a step, steps and learning rate."""
    values = dict(zip(plan.arguments, plan.arguments[1:]))
    steps = f"{plan.steps:,} steps" if plan.steps else "steps without end"
    text = (
        f"{plan.stage.title}: {plan.batch_size} images a step, {plan.batch_size // size} by each "
        f"of {size} workers; {steps}; learning rate {values.get('--lr', _LR)}"
    )
    if "--lr-steps" in values:
        text += f", a tenth of it from each of steps {values['--lr-steps']}"
    return text
