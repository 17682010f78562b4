"""The real script on several ranks, and what happens when one of their processes fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfn_patcher.cluster.follower import CAUSE
from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import ExitCode
from tests.support import namespaces, slurm, sshd
from tests.support.launched import (
    TOOL,
    Launched,
    children,
    descendants,
    free_port,
    is_alive,
    rank_of,
    variable,
    wait_until,
)
from tests.support.namespaces import KEEPALIVE, Network, Started
from tests.support.slurm import Slurm
from tests.support.sshd import Sshd
from tests.support.tool import validated
from tests.support.training_on_hosts import LIMIT, Training

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=4, images_per_identity=8)
    return folder


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two workers and two servers share the cores of this machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def training(workspace: Path, data: Path, tmp_path: Path) -> Iterator[Training]:
    training = Training(workspace, data, tmp_path / "ranks")
    yield training
    for launched in training.launched:
        launched.kill()


FAULTS = [
    (1, "worker", signal.SIGKILL, r"the worker of rank 1 on \S+ was killed by SIGKILL at step \d+"),
    (0, "scheduler", signal.SIGKILL, r"the scheduler of rank 0 on \S+ was killed by SIGKILL"),
    (1, "server", signal.SIGKILL, r"the server of rank 1 on \S+ was killed by SIGKILL"),
    (1, "worker", signal.SIGSTOP, r"no step completed for \d+ s: rank 1 .* its worker is stopped"),
]  # fmt: skip


def test_every_fault_ends_all_ranks(training: Training) -> None:
    """Each fault ends all processes, every rank names it, and the next training resumes."""
    for number, (rank, role, how, said) in enumerate(FAULTS):
        before = training.last
        launched = training.start(1000, *(["--resume"] if number else []))
        # Heartbeats, one a second, must have seen two steps: the first may take ten times as long.
        steps = 9 if how == signal.SIGSTOP else 0
        assert training.saves_beyond(before + steps), launched.output(0)
        launched.process(0, "worker")
        os.kill(launched.process(rank, role), how)
        codes = launched.wait(LIMIT)
        assert codes == [ExitCode.CLUSTER] * 2, launched.output(0)
        for each in range(2):
            assert re.search(said, launched.output(each)), launched.output(each)
        own = f"mfn-patch: rank 1 on {socket.gethostname()}: stage 2 (softmax): output in "
        assert own in launched.output(1)
        assert f"--resume continues from checkpoint {training.last}" in launched.output(0)
        assert training.record()["outcome"] == "failed"
        if number:
            assert training.record()["resumed_checkpoint"] == before


def test_doctor_checks_all_hosts(workspace: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["doctor", "-w", str(workspace), "--data-dir", str(data), "--cpu"]
    arguments += [
        "--batch-size",
        "4",
        "--rendezvous",
        f"127.0.0.1:{free_port()}",
        "--json",
        "--cluster",
    ]
    launched = Launched(arguments, 2, tmp_path / "ranks")
    assert launched.wait(200) == [0, 0], launched.output(0)
    findings = validated("doctor", launched.output(0))["findings"]
    by_check = {finding["check"]: finding for finding in findings}
    assert by_check["memory"]["detail"].startswith("2 images per step")
    for check, part in (
        (f"rank 1 on {socket.gethostname()}", "checks also passed there"),
        ("agreement", "the same code, versions, data set and arguments"),
        ("network", "each of 2 ranks reaches the ports of all others"),
    ):
        assert part in by_check[check]["detail"]
        assert by_check[check]["level"] == "ok"
    assert launched.output(1) == ""


@pytest.mark.skipif(sshd.unavailable() is not None, reason=sshd.unavailable() or "")
def test_under_ssh_nothing_outlives_the_tool(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed tool cannot tell the other ranks; the loss of the connection ends them."""
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost  # rank 0\n\nlocalhost\n")
    arguments = training.arguments(1000)
    arguments[arguments.index("--cluster")] = f"--hosts={hosts}"
    with Sshd(tmp_path / "sshd") as server:
        monkeypatch.setenv("PATH", f"{server.path}:{os.environ['PATH']}")
        started = Started([*TOOL, *arguments], training.folder)
        try:
            assert training.saves_beyond(0), started.output()
            there = server.processes("mfn_patcher")
            assert len(there) == 1, "the tool of rank 1"
            here = [pid for pid in children(started.process.pid) if variable(pid, "DMLC_ROLE")]
            processes = [*there, *children(there[0]), *here]
            assert len(processes) == 1 + 2 + 3
            started.process.kill()
            assert wait_until(lambda: not any(map(is_alive, processes)), LIMIT)
        finally:
            started.kill()
    cause = (training.run / "rank-1" / CAUSE).read_text()
    assert "the connection to rank 0 on" in cause
    assert "was lost; rank 1 on" in cause


@pytest.mark.skipif(slurm.unavailable() is not None, reason=slurm.unavailable() or "")
def test_two_stages_under_slurm(training: Training, tmp_path: Path) -> None:
    """The second stage starts from a checkpoint that only rank 0 has."""
    arguments = training.arguments(2)
    arguments[arguments.index("--stage") + 1] = "2,3"
    command = ["srun", "--ntasks=2", "--overcommit", *TOOL, *arguments]
    with Slurm(tmp_path / "slurm") as daemons:
        ran = subprocess.run(
            command, env=daemons.environment, capture_output=True, text=True, check=False
        )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert "4 images per step, 2 on each of 2 workers; 2 steps" in ran.stderr
    assert training.record()["outcome"] == "completed"
    assert training.record()["stage"] == 3


def unavailable() -> str | None:
    if not shutil.which("mpirun.openmpi"):
        return "Open MPI is not installed: apt-get install openmpi-bin"
    return namespaces.unavailable()


UNAVAILABLE = unavailable()
HOSTS = "abc"


def cut_off(network: Network, training: Training, started: Started, rank: int) -> None:
    """Disconnect the host of a rank once it trains, and check that all processes end."""
    assert training.saves_beyond(training.last), started.output()
    tools = [pid for pid in descendants(started.process.pid) if rank_of(pid) is not None]
    assert len(tools) == len(HOSTS)
    processes = [*tools, *(child for tool in tools for child in children(tool))]
    assert len(processes) == len(HOSTS) * 3 + 1
    network.set_link(HOSTS[rank], "down")
    ended = wait_until(lambda: not any(map(is_alive, processes)), LIMIT)
    assert ended, f"not all have ended: {started.output()}"
    said = started.output()
    assert f"no heartbeat from rank {rank} on {HOSTS[rank]} for" in said, said
    assert f"--resume continues from checkpoint {training.last}" in said, said
    assert training.record()["outcome"] == "failed"
    lost = (training.run / f"rank-{rank}" / CAUSE).read_text()
    assert "no heartbeat from rank 0 on a for" in lost


@pytest.mark.skipif(UNAVAILABLE is not None, reason=UNAVAILABLE or "")
def test_one_of_three_hosts_is_cut_off(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open MPI starts ranks in network namespaces; all of them end, and training resumes."""
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    command = [*TOOL, *training.arguments_on(1000)]
    command[command.index("--batch-size") + 1] = str(2 * len(HOSTS))
    with Network(HOSTS, tmp_path) as network:
        # The tool detects the loss first; mpirun would wait longer than the test does.
        first = network.mpirun(command, training.folder, {})
        try:
            cut_off(network, training, first, 2)
            cause = (training.run / "rank-1" / CAUSE).read_text()
            assert "rank 1 on b was stopped: no heartbeat from rank 2 on c for" in cause
        finally:
            first.kill()
        network.set_link("c", "up")
        saved = training.last

        # mpirun detects the loss first, and also ends.
        command[command.index("--timeout") + 1] = "45"
        command.insert(command.index("--cluster"), "--resume")
        second = network.mpirun(command, training.folder, KEEPALIVE)
        try:
            cut_off(network, training, second, 1)
            assert second.process.wait(LIMIT) != 0
        finally:
            second.kill()
        assert training.record()["resumed_checkpoint"] == saved
