"""Checks across several hosts: what each of them found, and whether they can train together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from mfn_patcher.children import interpreter
from mfn_patcher.cluster.agreement import HostFacts, collect_facts
from mfn_patcher.cluster.follower import Follower
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.lead import lead_job
from mfn_patcher.cluster.preflight import PORTS_REMEDY
from mfn_patcher.cluster.ssh import SshProcesses
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.doctor.examination import Diagnosis, Request, failed, passed
from mfn_patcher.doctor.machine import diagnose
from mfn_patcher.engine import MXNET
from mfn_patcher.engine.choice import Engine
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding, Level
from mfn_patcher.remedies import as_typed
from mfn_patcher.runs.code import Code
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan
from mfn_patcher.training.planner import plan_chain


def diagnose_together(
    job: Job, request: Request, code: Code, others: SshProcesses
) -> Diagnosis | None:
    """Check this host, that all hosts agree, and that each reaches all others.

    Args:
        job: how the command is spread over hosts.
        request: the training run of all ranks together.
        code: the code in the workspace of this host.
        others: starts the other ranks.

    Returns:
        On rank 0 the diagnosis of all hosts together; None on other ranks.

    Raises:
        InterpreterError: There is no training interpreter.
        PlanError: The options contradict each other.
        SetupError: A rank did not join.
        FaultError: A rank failed meanwhile.
    """
    plans = plan_chain(request.recipe, request.recipe.stages, request.options)
    # This host is checked as if its share of each batch were the whole batch.
    share = plans[0].batch_size // job.rank.size
    options = dataclasses.replace(request.options, workers=None, batch_size=share)
    own = diagnose(dataclasses.replace(request, options=options))
    engine = own.engine.name if own.engine else MXNET
    path = interpreter.find(request.python)
    context = RunContext(request.workspace.resolve(), path, request.environment, code)
    facts = _collect_facts(plans, context, own.engine)
    if job.rank.number:
        with Follower(job, path, "doctor") as follower:
            # Remedies name commands as they are run on this host.
            typed = (dataclasses.replace(it, remedy=as_typed(it.remedy)) for it in own.findings)
            follower.present(facts, engine, tuple(typed))
            follower.follow(plans, context, None)
        return None
    with lead_job(job, path, "doctor", others) as lead:
        differences = lead.compare_facts(facts)
        problems = lead.check_ports(engine)
        members = lead.membership.members
        names = ", ".join(lead.membership.names.values())
    found = [
        finding
        for member in members
        if member.facts
        for finding in _on_rank(member.name, member.facts.findings)
    ]
    found += _between(
        "agreement",
        f"{names} have the same code, versions, data set and arguments",
        differences,
        "Make it the same on all hosts.",
    )
    found += _between(
        "network",
        f"each of {job.rank.size} ranks reaches the ports of all others, from {lead.layout.port} "
        "on",
        problems,
        PORTS_REMEDY,
    )
    return dataclasses.replace(own, findings=(*own.findings, *found))


def _collect_facts(
    plans: Sequence[StagePlan], context: RunContext, engine: Engine | None
) -> HostFacts:
    found, data_set = None, ""
    with contextlib.suppress(MfnPatchError):
        found = interpreter.inspect(context.python, context.environment)
    data_dir = context.resolve(plans[0].data_dir)
    if data_dir.is_dir():
        data_set = fingerprint(data_dir).sha256
    return collect_facts(context.code, plans, found, engine, data_set)


def _on_rank(rank: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    problems = [finding for finding in findings if finding.level is not Level.OK]
    if not problems:
        yield passed(rank, f"all {len(findings)} checks also passed there")
    for finding in problems:
        yield dataclasses.replace(finding, check=f"{rank}, {finding.check}")


def _between(check: str, good: str, problems: Sequence[str], remedy: str) -> list[Finding]:
    if not problems:
        return [passed(check, good)]
    return [failed(check, problem, remedy) for problem in problems]
