"""Ranks that join rank 0, do not, or are lost."""

from __future__ import annotations

import socket
import time

import pytest

from mfn_patcher.cluster.errors import FaultError, SetupError
from mfn_patcher.cluster.rendezvous import Rendezvous
from mfn_patcher.engine import MXNET
from tests.support.ranks import FACTS, Following, StartLead, follow, never_fails, say_hello


def test_missing_ranks_are_named(rendezvous: Rendezvous, lead: StartLead) -> None:
    Following(rendezvous, 2, 4, FACTS)
    leading = lead(4)
    with pytest.raises(
        SetupError, match=r"ranks 1, 3 of 4 did not connect to rank 0 at port \d+ of "
    ):
        leading.membership.gather(1, never_fails)


def test_a_rank_that_ssh_could_not_start(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(2)
    began = time.monotonic()
    with pytest.raises(SetupError, match="ssh c exited with status 255"):
        leading.membership.gather(60, lambda: "cannot start rank 1: ssh c exited with status 255")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        ((1, 3, "train"), "rank 0 belongs to another job: train with 2 ranks"),
        ((1, 2, "doctor"), "rank 0 belongs to another job"),
        ((0, 2, "train"), "rank 0 has already joined"),
    ],
)
def test_ranks_of_other_jobs_are_refused(
    rendezvous: Rendezvous, lead: StartLead, stranger: tuple[int, int, str], reason: str
) -> None:
    lead(2)
    with pytest.raises(SetupError, match=reason) as error:
        follow(rendezvous, *stranger)
    assert "--rendezvous HOST:PORT" in error.value.remedy


def test_other_programs_do_no_harm(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(2)
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"{}\n", b'{"kind": 7}\n', b""):
        with socket.create_connection(("127.0.0.1", rendezvous.port)) as stranger:
            stranger.sendall(sent)
    Following(rendezvous, 1, 2, FACTS)
    leading.membership.gather(10, never_fails)
    leading.require_agreement(FACTS, MXNET)


def test_a_lost_connection(rendezvous: Rendezvous, lead: StartLead) -> None:
    leading = lead(2)
    connection = say_hello(rendezvous)
    leading.membership.gather(10, never_fails)
    connection.close()
    with pytest.raises(FaultError, match="the connection to rank 1 on c was lost"):
        leading.compare_facts(FACTS)
