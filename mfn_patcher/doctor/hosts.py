"""What keeps several hosts from training together, looked at from all of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mfn_patcher.children.interpreter import inspect
from mfn_patcher.cluster import agreement as facts
from mfn_patcher.cluster.agreement import Facts
from mfn_patcher.cluster.hosts import Others
from mfn_patcher.cluster.job import Job, follower, lead
from mfn_patcher.cluster.lead import name
from mfn_patcher.data.fingerprint import fingerprint
from mfn_patcher.doctor.machine import Diagnosis
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.finding import Finding, Level
from mfn_patcher.training.command import StagePlan
from mfn_patcher.training.run import Surroundings


def diagnose_together(
    job: Job,
    own: Diagnosis,
    plans: Sequence[StagePlan],
    surroundings: Surroundings,
    others: Others,
) -> Diagnosis | None:
    """Compare hosts, and let each reach for each other.

    Args:
        job: How the command is spread.
        own: What was found on this host.
        plans: Of all stages.
        surroundings: Of this host.
        others: Started while this leads.

    Returns:
        On rank 0 what was found on all hosts and between them; None on others.

    Raises:
        SetupError: Not all ranks come.
        FaultError: One failed meanwhile.
    """
    here = _facts(plans, surroundings)
    if job.place.rank:
        with follower(job, surroundings.python, "doctor") as hands:
            hands.present(here, own.as_json()["findings"])
            hands.follow(plans, surroundings, None, lambda _: None)
        return None
    with lead(job, surroundings.python, "doctor", others) as crew:
        differences = crew.collect(here)
        unreached = crew.try_ports()
        members = sorted(crew.members.values(), key=lambda member: member.rank)
    found = [
        finding for member in members for finding in _elsewhere(member.name, member.findings or ())
    ]
    everybody = ", ".join([name(0, crew.host), *(member.name for member in members)])
    found += _between(
        "agreement",
        f"{everybody} have the same code, versions, data set and arguments",
        differences,
        "Make it the same on all hosts.",
    )
    found += _between(
        "network",
        f"each of {job.place.size} ranks reaches the ports of each other, from "
        f"{crew.layout.port} on",
        unreached,
        "Open these ports between the hosts, or choose others with --rendezvous HOST:PORT.",
    )
    return dataclasses.replace(own, findings=(*own.findings, *found))


def _facts(plans: Sequence[StagePlan], surroundings: Surroundings) -> Facts:
    interpreter, data_set = None, ""
    with contextlib.suppress(MfnPatchError):
        interpreter = inspect(surroundings.python, surroundings.environment)
    data_dir = surroundings.place(plans[0].data_dir)
    if data_dir.is_dir():
        data_set = fingerprint(data_dir).sha256
    return facts.collect(surroundings.code, plans, interpreter, data_set)


def _elsewhere(rank: str, findings: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    told = [Finding(**{**finding, "level": Level(finding["level"])}) for finding in findings]
    odd = [finding for finding in told if finding.level is not Level.OK]
    if not odd:
        yield Finding(Level.OK, rank, f"all of {len(told)} lines as above are ok there")
    for finding in odd:
        yield dataclasses.replace(finding, check=f"{rank}, {finding.check}")


def _between(check: str, good: str, bad: Sequence[str], remedy: str) -> list[Finding]:
    if not bad:
        return [Finding(Level.OK, check, good)]
    return [Finding(Level.ERROR, check, line, remedy) for line in bad]
