"""The real script on two hosts with the engine on PyTorch, and what happens when one fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mfn_patcher.cluster.follower import CAUSE
from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import ExitCode
from tests.support import namespaces
from tests.support.array_files import difference
from tests.support.engines import engine_environment
from tests.support.launched import TOOL, descendants, is_alive, variable, wait_until
from tests.support.namespaces import Network, Started
from tests.support.training_on_hosts import LIMIT, Training
from tests.support.upstream import PROGRAMS

pytestmark = pytest.mark.torch

UNAVAILABLE = namespaces.unavailable()
EVERY, CHECKPOINTS = 4, 3
HOSTS = "ab"


class Hosts:
    """One training run on two hosts.

    Args:
        training: the training run.
        network: the hosts.
    """

    def __init__(self, training: Training, network: Network) -> None:
        self._training = training
        self._network = network
        self._started: list[Started] = []

    def start(self, *options: str) -> None:
        """Start the ranks, and wait until they have saved a checkpoint."""
        training, before = self._training, self._training.last
        lead = self._network.addresses[HOSTS[0]]
        command = [*TOOL, *training.arguments_on(1000, "--rendezvous", lead, *options)]
        self._started = []
        for rank, host in enumerate(HOSTS):
            numbers = {"RANK": rank, "RANKS": 2, "LOCAL_RANK": 0, "LOCAL_RANKS": 1}
            variables = [f"MFN_PATCH_{name}={number}" for name, number in numbers.items()]
            ranked = self._network.on(host, ["env", *variables, *command])
            self._started.append(Started(ranked, training.folder / f"{host}{before}"))
        assert training.saves_beyond(before), self.output(0) + self.output(1)

    def output(self, rank: int) -> str:
        return self._started[rank].output()

    def worker(self, rank: int) -> int:
        """Return the process id of a rank's worker, the only process beside the tool."""
        found = descendants(self._started[rank].process.pid)
        (worker,) = (pid for pid in found if variable(pid, "DMLC_ROLE") == "worker")
        return worker

    def end(self) -> None:
        """Check that all processes end in time, and how."""
        pids = [pid for each in self._started for pid in descendants(each.process.pid)]
        codes = [each.process.wait(LIMIT) for each in self._started]
        assert codes == [ExitCode.CLUSTER] * 2, self.output(0) + self.output(1)
        assert wait_until(lambda: not any(map(is_alive, pids)), 5)
        last = self._training.last
        assert f"--resume continues from checkpoint {last}" in self.output(0)

    def kill(self) -> None:
        for each in self._started:
            each.kill()


@pytest.fixture
def training(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    synthesise(tmp_path / "faces", identities=4, images_per_identity=8, sets=())
    return Training(
        workspace, tmp_path / "faces", tmp_path / "ranks", "--engine", "torch", every=EVERY
    )


@pytest.fixture
def hosts(training: Training, tmp_path: Path) -> Iterator[tuple[Hosts, Network]]:
    with ExitStack() as stack:
        network = stack.enter_context(Network(HOSTS, tmp_path))
        made = Hosts(training, network)
        stack.callback(made.kill)
        yield made, network


def train_on_two_devices(training: Training, prefix: Path) -> None:
    """Train in one process on two devices, with the arguments of a worker of two."""
    arguments = list(training.record()["command"][3:])
    for option in ("--kvstore", "--progress", "--resume"):
        place = arguments.index(option)
        del arguments[place : place + 2]
    last = str(EVERY * CHECKPOINTS)
    program = [sys.executable, str(PROGRAMS / "two_devices.py"), *arguments]
    subprocess.run(
        [*program, "--prefix", str(prefix), "--max-steps", last],
        cwd=training.workspace / "src",
        env={**engine_environment("torch"), "CUDA_VISIBLE_DEVICES": "0,1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.skipif(UNAVAILABLE is not None, reason=UNAVAILABLE or "")
def test_two_hosts_are_two_devices_whatever_fails(
    training: Training, hosts: tuple[Hosts, Network], tmp_path: Path
) -> None:
    """A worker is killed, one is stopped, and a host is cut off; each time, training resumes.

    Two workers and two devices add the same two gradients, so the results are equal to the bit.
    """
    ranks, network = hosts
    ranks.start()
    os.kill(ranks.worker(1), signal.SIGKILL)
    ranks.end()
    for rank in range(2):
        said = r"the worker of rank 1 on b was killed by SIGKILL at step \d+"
        assert re.search(said, ranks.output(rank)), ranks.output(rank)

    ranks.start("--resume")
    os.kill(ranks.worker(1), signal.SIGSTOP)
    ranks.end()
    said = r"no step completed for \d+ s: rank 1 on b .* stopped; .* rank 0 on a .* \(waiting\)"
    assert re.search(said, ranks.output(1)), ranks.output(1)

    before = training.last
    ranks.start("--resume")
    network.set_link("b", "down")
    ranks.end()
    assert "no heartbeat from rank 1 on b for" in ranks.output(0), ranks.output(0)
    assert "no heartbeat from rank 0 on a for" in (training.run / "rank-1" / CAUSE).read_text()
    assert training.record()["resumed_checkpoint"] == before
    assert training.record()["engine"]["name"] == "torch"

    train_on_two_devices(training, tmp_path / "alone" / "model")
    for kind in ("params", "states"):
        last = f"-{CHECKPOINTS:04d}.{kind}"
        ours, theirs = Path(f"{training.prefix}{last}"), tmp_path / "alone" / f"model{last}"
        assert difference(ours, theirs) == 0
