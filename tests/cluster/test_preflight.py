"""Ranks that agree or do not, and reach each other or do not."""

from __future__ import annotations

import socket

import pytest

from mfn_patcher.cluster.errors import SetupError, StoppedError
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.engine import MXNET, TORCH
from mfn_patcher.errors import ExitCode
from tests.support.ranks import FACTS, Following, StartLead, never_fails


@pytest.mark.parametrize("engine", [MXNET, TORCH])
def test_ranks_agree_and_reach_each_other(
    rendezvous: Rendezvous, lead: StartLead, engine: str
) -> None:
    others = [Following(rendezvous, rank, 3, FACTS, engine) for rank in (1, 2)]
    leading = lead(3)
    leading.membership.gather(10, never_fails)
    leading.require_agreement(FACTS, engine)
    told = [each.facts.ports for each in leading.membership.members if each.facts]
    found = [port - rendezvous.port for ports in told for port in ports]
    if engine == MXNET:
        assert found == [4, 5, 6, 7]
    else:
        assert len(set(found)) == 2
        assert not set(found) & set(range(10)), "the system chooses these"
    leading.__exit__(None, None, None)
    for other in others:
        other.join(10)
        assert not other.is_alive()
        assert other.error is None


def test_differences_are_reported_by_host(rendezvous: Rendezvous, lead: StartLead) -> None:
    others = [
        Following(rendezvous, 1, 3, FACTS),
        Following(rendezvous, 2, 3, {**FACTS, "numpy": "1.22.4"}),
    ]
    leading = lead(3)
    leading.membership.gather(10, never_fails)
    with pytest.raises(SetupError) as error:
        leading.require_agreement({**FACTS, "data set": "d" * 64}, MXNET)
    host = socket.gethostname()
    lines = str(error.value).splitlines()
    assert f"  rank 2 on {host}: numpy is 1.22.4, but 1.23.5 on rank 0" in lines
    assert f"  rank 1 on {host}: data set is missing, but {'d' * 60}... on rank 0" in lines
    assert len(lines) == 4
    leading.__exit__(SetupError, error.value, None)
    for other in others:
        other.join(10)
        assert isinstance(other.error, StoppedError)
        assert other.error.exit_code == ExitCode.ERROR
        assert "the hosts differ" in str(other.error)


def test_a_port_that_is_taken(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", rendezvous.port + 4))
        taken.listen()
        Following(rendezvous, 1, 2, FACTS)
        leading.membership.gather(10, never_fails)
        with pytest.raises(SetupError, match=f"rank 1 on .*: port {rendezvous.port + 4} is taken"):
            leading.require_agreement(FACTS, MXNET)
