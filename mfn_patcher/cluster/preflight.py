"""What rank 0 checks before all ranks train together: that hosts agree and reach each other."""

from __future__ import annotations

from collections.abc import Sequence

from mfn_patcher.cluster.agreement import HostFacts, find_differences
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.membership import Membership
from mfn_patcher.cluster.messages import Reach, Release
from mfn_patcher.cluster.ports import ReservedPorts, Target, Unreachable, find_unreachable
from mfn_patcher.cluster.roles import Layout

PORTS_REMEDY = (
    "Open these ports between the hosts (with PyTorch, all ports), or choose others with "
    "--rendezvous HOST:PORT."
)


def compare_facts(membership: Membership, own: HostFacts) -> list[str]:
    """Wait for the facts of all hosts; return one line for each difference.

    Args:
        membership: the other ranks.
        own: facts of this host.

    Raises:
        FaultError: A rank failed meanwhile.
    """
    membership.wait(lambda: all(member.facts is not None for member in membership.members))
    membership.raise_fault()
    return find_differences(
        own, {each.name: each.facts.facts for each in membership.members if each.facts}
    )


def check_ports(membership: Membership, layout: Layout, local_rank: int) -> list[str]:
    """Have each rank connect to the ports of every other; return one line for each problem.

    Args:
        membership: the other ranks.
        layout: addresses and ports of the job.
        local_rank: number of this rank among those of its host.

    Raises:
        FaultError: A rank failed meanwhile.
    """
    names = membership.names
    reserved = ReservedPorts(layout.lead_address, layout.ports(0, local_rank))
    try:
        taken: dict[int, Sequence[int]] = {0: reserved.taken}
        taken |= {each.number: each.facts.taken_ports for each in membership.members if each.facts}
        lines = [
            f"{names[number]}: port {', '.join(map(str, ports))} is taken"
            for number, ports in taken.items()
            if ports
        ]
        targets = [Target(0, layout.lead_address, port) for port in reserved.held]
        targets += [
            Target(each.number, each.connection.peer_address, port)
            for each in membership.members
            if each.facts
            for port in each.facts.ports
        ]
        membership.send_all(Reach(layout.lead_address, tuple(targets)))
        found: dict[int, Sequence[Unreachable]] = {
            0: find_unreachable(target for target in targets if target.rank)
        }
        membership.wait(lambda: all(each.unreachable is not None for each in membership.members))
        membership.raise_fault()
        found |= {each.number: each.unreachable or () for each in membership.members}
    finally:
        reserved.release()
    membership.send_all(Release())
    return lines + [
        f"{names[number]} cannot reach {names.get(each.rank, f'rank {each.rank}')} at "
        f"{each.address}:{each.port}: {each.reason}"
        for number, unreachable in found.items()
        for each in unreachable
    ]


def raise_problems(what: str, problems: list[str], remedy: str) -> None:
    """Refuse to train if the hosts have problems.

    Args:
        what: what the hosts do that they must not, for the message.
        problems: what `compare_facts` or `check_ports` returned.
        remedy: what to do about them.

    Raises:
        SetupError: There are problems.
    """
    if problems:
        lines = "".join(f"\n  {line}" for line in problems)
        raise SetupError(f"the hosts {what}:{lines}", remedy=remedy)
