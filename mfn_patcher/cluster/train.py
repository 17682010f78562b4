"""Training stages on several hosts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import BinaryIO

from mfn_patcher.cluster.agreement import HostFacts, collect_facts
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.lead import lead_job
from mfn_patcher.cluster.ssh import SshProcesses
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.engine.choice import Engine
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.preflight import check_host
from mfn_patcher.training.resume import remaining
from mfn_patcher.training.run import run_stages
from mfn_patcher.training.watch.supervision import Supervision

_LOG = logging.getLogger(__name__)
_SCRIPT_LR = "0.1"  # the script's default


def train_together(
    job: Job,
    plans: Sequence[StagePlan],
    context: RunContext,
    supervision: Supervision,
    *,
    resume: bool,
    others: SshProcesses,
    output: BinaryIO,
) -> None:
    """Train stages on several hosts, as the rank that this process is.

    Args:
        job: how the command is spread over hosts.
        plans: plans of the stages, in order, as if none had been trained.
        context: where stages run on this host.
        supervision: how they are watched.
        resume: whether to resume from the last checkpoint that rank 0 finds.
        others: starts the other ranks.
        output: gets the script's output on rank 0.

    Raises:
        SetupError: The job cannot start.
        FaultError: A host or a process failed.
        StoppedError: Rank 0 stopped this rank.
        MfnPatchError: Anything that would also stop training on one host.
    """
    if job.rank.number:
        with Follower(job, context.python, "train") as follower:
            engine = check_host(plans, context)
            follower.present(_facts(plans, context, engine), engine.name)
            follower.follow(plans, context, engine)
        return
    with lead_job(job, context.python, "train", others) as lead:
        _LOG.info("%s", ", ".join(lead.membership.names.values()))
        engine = check_host(plans, context)
        lead.require_agreement(_facts(plans, context, engine), engine.name)
        for plan in plans:
            _LOG.info("%s", describe_split(plan, job.rank.size))
        if resume:
            plans = remaining(plans, context)
        if plans:
            run_stages(plans, context, output, supervision, companions=lead, engine=engine)


def _facts(plans: Sequence[StagePlan], context: RunContext, engine: Engine) -> HostFacts:
    data_set = fingerprint(context.resolve(plans[0].data_dir)).sha256
    return collect_facts(context.code, plans, engine.interpreter, engine, data_set)


def describe_split(plan: StagePlan, size: int) -> str:
    """Return what the ranks do together: images per step, number of steps and learning rate.

    Args:
        plan: plan of a stage.
        size: number of ranks.
    """
    steps = f"{plan.steps:,} steps" if plan.steps else "no step limit"
    text = (
        f"{plan.stage.title}: {plan.batch_size} images per step, {plan.batch_size // size} on each "
        f"of {size} workers; {steps}; learning rate {plan.value('--lr') or _SCRIPT_LR}"
    )
    if drops := plan.value("--lr-steps"):
        text += f", divided by 10 at steps {drops}"
    return text
