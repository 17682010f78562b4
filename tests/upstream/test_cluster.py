"""Several workers of the real script, with MXNet's parameter server, compute what one does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mfn_patcher.checkpoints import folder as checkpoints
from mfn_patcher.data.synth import synthesise
from mfn_patcher.trainer import FOLDER
from tests.support.array_files import difference
from tests.support.records import spoil_image
from tests.support.upstream import PROGRAMS, ask

pytestmark = pytest.mark.mxnet

STEPS, EVERY, EACH = 6, 3, 3
# What the moving variances of so few steps, about 40, keep of 32 bits.
TOLERANCE = 1e-5
# MXNet sets the gamma of a batch norm with fix_gamma to 1 where it is used. On one machine with
# several devices the key-value store keeps, and decays, another copy that nothing uses.
UNUSED = "fc1_gamma"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 images: four steps per epoch for two workers, and two images left over."""
    folder = tmp_path_factory.mktemp("data") / "faces"
    synthesise(folder, identities=2, images_per_identity=13, sets=["lfw"])
    return folder


@dataclass(frozen=True)
class Script:
    """The patched script, on a learning rate that drops in between."""

    source: Path
    data: Path
    folder: Path

    def command(self, rank: int, *options: str, without_statistics: bool = False) -> list[str]:
        """Return what a worker runs; what it ends with goes to ``end-RANK``."""
        program = [str(PROGRAMS / "worker.py"), str(self.folder / f"end-{rank}")]
        arguments = ["--network", "y1", "--emb-size", "128", "--ckpt", "2", "--loss-type", "0"]
        arguments += ["--data-dir", str(self.data), "--prefix", str(self.prefix(rank))]
        arguments += ["--lr-steps", "4", "--lr", "0.05", "--verbose", str(EVERY), "--seed", "7"]
        # The script leaves after one more step.
        arguments += ["--target", "", "--max-steps", str(STEPS - 1)]
        arguments += ["--per-batch-size", str(EACH), *options]
        return [sys.executable, "-u", *program, str(int(without_statistics)), *arguments]

    def prefix(self, rank: int) -> Path:
        return self.folder / f"host-{rank}" / "model"

    def environment(self, **variables: str) -> dict[str, str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            # ps-lite reads this one too.
            if name != "PORT" and not name.startswith("DMLC_")
        }
        # Sums over several threads could come out in another order.
        environment["PYTHONPATH"] = str(FOLDER)
        return {**environment, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **variables}

    def alone(self, *options: str, devices: str = "", without_statistics: bool = False) -> str:
        """Train on one machine; return what it prints."""
        ran = subprocess.run(
            self.command(0, *options, without_statistics=without_statistics),
            cwd=self.source,
            env=self.environment(CUDA_VISIBLE_DEVICES=devices),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    @contextlib.contextmanager
    def together(
        self,
        *options: str,
        rank_1: tuple[str, ...] = (),
        servers: int = 1,
        without_statistics: bool = False,
    ) -> Iterator[Together]:
        """Start a scheduler, servers and two workers; end those that are left."""
        commands = [
            self.command(
                rank,
                *("--kvstore", "dist_sync", "--progress", str(self.folder / f"progress-{rank}")),
                *options,
                *(rank_1 if rank else ()),
                without_statistics=without_statistics,
            )
            for rank in (0, 1)
        ]
        with self.start(commands, servers) as training:
            yield training

    @contextlib.contextmanager
    def start(
        self, workers: list[list[str]], servers: int = 1, **variables: str
    ) -> Iterator[Together]:
        """Start a scheduler, servers and workers, the last first; end those that are left."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        names = ["scheduler", *(f"server {rank}" for rank in range(servers))]
        names += [f"worker {rank}" for rank in reversed(range(len(workers)))]
        processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            role, _, rank = name.partition(" ")
            environment = self.environment(
                DMLC_ROLE=role,
                DMLC_PS_ROOT_URI="127.0.0.1",
                DMLC_PS_ROOT_PORT=str(port),
                DMLC_NODE_HOST="127.0.0.1",
                DMLC_NUM_WORKER=str(len(workers)),
                DMLC_NUM_SERVER=str(servers),
            )
            environment.update({"DMLC_WORKER_ID": rank, **variables} if role == "worker" else {})
            with (self.folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    workers[int(rank) if role == "worker" else 0],
                    cwd=self.source,
                    env=environment,
                    stdout=log,
                    stderr=log,
                )
        try:
            yield Together(self.folder, processes)
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Together:
    """The processes of a training run, by their names."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def wait(self) -> dict[str, int | None]:
        """Wait until all have ended, or one badly; return their exit codes."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            codes = {name: process.poll() for name, process in self.processes.items()}
            if None not in codes.values() or any(codes.values()):
                break
            time.sleep(0.01)
        return codes

    def progress(self, rank: int) -> tuple[int, str]:
        """Return step and phase of a worker, and nothing where it has not begun."""
        try:
            told, step, phase, *_ = (self.folder / f"progress-{rank}").read_text().split()
        except (FileNotFoundError, ValueError):
            return -1, ""
        assert told == str(rank)
        return int(step), phase

    def until(self, condition: object) -> None:
        """Wait until a function of no arguments says yes."""
        assert callable(condition)
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, [self.progress(rank) for rank in (0, 1)]
            assert not all(process.poll() for process in self.processes.values())
            time.sleep(0.001)


@pytest.fixture(scope="module")
def _alone(_patched_once: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Script:
    script = Script(_patched_once / "src", data, tmp_path_factory.mktemp("alone"))
    assert "gpu num: 2" in script.alone(devices="0,1")
    return script


@pytest.fixture
def alone(patched: Path, request: pytest.FixtureRequest) -> Script:
    """What one machine with two devices has trained, each on half of a batch."""
    assert patched
    script: Script = request.getfixturevalue("_alone")
    return script


@pytest.fixture
def script(patched: Path, data: Path, tmp_path: Path) -> Script:
    return Script(patched / "src", data, tmp_path)


def assert_same(ours: Path, theirs: Path, *numbers: int, tolerance: float = TOLERANCE) -> None:
    for number in numbers:
        for kind in ("params", "states"):
            a, b = (Path(f"{prefix}-{number:04d}.{kind}") for prefix in (ours, theirs))
            assert difference(a, b, without=UNUSED) <= tolerance


def stop_while_it_computes(training: Together) -> None:
    worker = training.processes["worker 1"]
    while True:
        training.until(lambda: training.progress(1)[0] > 1)
        training.until(lambda: training.progress(1)[1] == "compute")
        worker.send_signal(signal.SIGSTOP)
        if training.progress(1)[1] == "compute":
            return
        worker.send_signal(signal.SIGCONT)


def blamed(training: Together) -> set[int]:
    """Return the ranks that the others wait for, by what they tell."""
    told = {rank: training.progress(rank) for rank in (0, 1)}
    lowest = min(step for step, _ in told.values())
    return {rank for rank, (step, phase) in told.items() if step == lowest and phase != "wait"}


def test_two_workers_are_one_machine_with_two_devices(alone: Script, script: Script) -> None:
    """Their batch norms also see half of a batch each. One worker stands still for a while."""
    with script.together(servers=2) as training:
        stop_while_it_computes(training)
        training.until(lambda: training.progress(0)[1] == "wait" and blamed(training) == {1})
        training.processes["worker 1"].send_signal(signal.SIGCONT)
        ended = training.wait()
    assert set(ended.values()) == {0}, ended
    assert_same(script.prefix(0), alone.prefix(0), 1, 2)
    # Rank 0 alone verifies and saves; both end with the same, to the bit.
    assert not script.prefix(1).parent.exists()
    assert list(checkpoints.find(script.prefix(0))) == [1, 2]
    logs = [training.log(f"worker {rank}") for rank in (0, 1)]
    for rank, log in enumerate(logs):
        assert re.search(rf"^rank {rank} of 2$", log, re.MULTILINE)
        assert re.findall(r"^lr change to (0.005)", log, re.MULTILINE) == ["0.005"]
        assert ("Accuracy" in log, "Saved checkpoint" in log) == (rank == 0, rank == 0)
        assert training.progress(rank) == (STEPS, "end")
    assert difference(script.folder / "end-0", script.folder / "end-1") == 0


def test_without_statistics_two_workers_are_one_device(alone: Script, script: Script) -> None:
    """With a batch as large as both of theirs, from parameters that the other does not have.

    Batch norms use moving means here, so that images of a batch do not depend on each other."""
    quick = ("--max-steps", "2", "--verbose", "3", "--lr-steps", "2", "--lr", "0.0001")
    start = ("--pretrained", f"{alone.prefix(0)},2")
    one = Script(script.source, script.data, script.folder / "one")
    one.folder.mkdir()
    progress = ("--progress", str(script.folder / "alone"))
    one.alone(*quick, *start, *progress, "--per-batch-size", str(2 * EACH), without_statistics=True)
    nowhere = ("--pretrained", f"{script.prefix(1)},2", "--target", "")
    with script.together(
        *quick, *start, "--target", "lfw", rank_1=nowhere, without_statistics=True
    ) as training:
        ended = training.wait()
    assert set(ended.values()) == {0}, ended
    # Parameters have changed by up to 0.03.
    assert_same(script.prefix(0), one.prefix(0), 1, tolerance=1e-6)
    assert (script.folder / "alone").read_text().split()[:3] == ["0", "3", "end"]
    verified = [
        re.findall(r"^\[lfw\]\[(\d+)\]Accuracy-Flip", training.log(f"worker {rank}"), re.MULTILINE)
        for rank in (0, 1)
    ]
    assert verified == [["3"], []]


def test_a_checkpoint_of_the_first_is_gone_on_from(
    alone: Script, script: Script, tmp_path: Path
) -> None:
    """In the middle of an epoch; the other worker has none."""
    script.prefix(0).parent.mkdir()
    for path in alone.prefix(0).parent.glob("model-0001.*"):
        shutil.copy(path, script.prefix(0).parent)
    manifest = Path(f"{script.prefix(0)}-0001.json")
    stood = json.loads(manifest.read_text())
    # One machine's checkpoint would be refused.
    stood["arguments"].update(workers=2, kvstore="dist_sync", ctx_num=1, batch_size=EACH)
    manifest.write_text(json.dumps(stood))
    with script.together("--resume", "1", "--data-workers", "0") as training:
        ended = training.wait()
    assert set(ended.values()) == {0}, ended
    assert f"resuming from 1 at step {EVERY}" in training.log("worker 1")
    assert_same(script.prefix(0), alone.prefix(0), 2)


def test_workers_that_would_train_differently_end(script: Script) -> None:
    program = [sys.executable, str(PROGRAMS / "agree.py")]
    with script.start([program, program], DIFFER="") as talk:
        # The servers are not told to end by workers that fail.
        workers = [talk.processes[f"worker {rank}"] for rank in (0, 1)]
        assert [worker.wait(timeout=60) for worker in workers] == [1, 1]
        for rank in (0, 1):
            told, reason = talk.log(f"worker {rank}").splitlines()[-2:]
            assert told == "[['é', 0], ['éé', 1]] [1.0, 21.0]"
            assert (
                reason
                == "worker 1 was started with different arguments: wd is 1, but 0 for worker 0"
            )
            assert f"rank {rank} of 2" in talk.log(f"worker {rank}")


def test_a_worker_that_cannot_begin_ends_at_once(script: Script) -> None:
    """Without waiting for the servers, or for other workers."""
    with script.start([script.command(0, "--kvstore", "dist_sync", "--resume", "1")]) as training:
        assert training.processes["worker 0"].wait(timeout=60) == 1
        log = training.log("worker 0")
    assert re.search("cannot resume from checkpoint 1 of ", log.splitlines()[-1])
    assert "Traceback" not in log


def test_a_cluster_needs_a_seed_and_a_launcher(script: Script) -> None:
    program = """
import sys, train_softmax
from mfn_trainer import workers
sys.argv = ["train_softmax.py", "--kvstore", "dist_sync"]
for attempt in (train_softmax.main, lambda: workers.join("dist_sync", "")):
    try:
        attempt()
    except SystemExit as end:
        print(end.code)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=script.source,
        env=script.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "--kvstore dist_sync requires --seed" in ran.stderr
    usage, reason = ran.stdout.splitlines()
    assert usage == "2"
    assert (
        "requires the environment variables that a launcher sets: DMLC_ROLE, DMLC_PS_ROOT_URI"
        in reason
    )


# -- shards -----------------------------------------------------------------------------------

Batches = list[list[str] | None]


@dataclass(frozen=True)
class Shards:
    """What an iterator gives; see ``shards.py``."""

    whole: list[Batches]
    parts: list[Batches]
    later: list[Batches]
    broken: list[int]


def shards(script: Script, data: Path) -> dict[str, Shards]:
    found = ask("shards.py", script.source, script.environment(), data)
    return {name: Shards(**given) for name, given in found.items()}


def test_shards_are_the_batches_of_one_machine(script: Script, tmp_path: Path) -> None:
    synthesise(tmp_path / "faces", identities=2, images_per_identity=8, sets=())
    both = shards(script, tmp_path / "faces")
    assert both["iterator"] == both["feed"]
    intact = both["feed"]
    first, second = intact.parts
    joined = [a and b and a + b for a, b in zip(first, second)]
    # Four images are left over.
    assert [batch is None for batch in joined] == [False, False, True] * 2
    assert [joined] == intact.whole
    assert intact.later == [given[4:] for given in (*intact.whole, *intact.parts)]

    # What cannot be decoded is replaced, so that all other images are where they were, also in a
    # run that is resumed.
    spoil_image(tmp_path / "faces", 5)
    both = shards(script, tmp_path / "faces")
    assert "iterator" not in both, "it ends there, on one machine too"
    spoiled = both["feed"]
    assert spoiled.broken == [5]
    assert spoiled.later == [given[4:] for given in (*spoiled.whole, *spoiled.parts)]
    for found, before in zip((*spoiled.whole, *spoiled.parts), (*intact.whole, *intact.parts)):
        assert [batch is None for batch in found] == [False, False, True] * 2
        changed = [
            image != its for a, b in zip(found, before) for image, its in zip(a or [], b or [])
        ]
        assert sum(changed) <= 2, "at most once per epoch"
    assert spoiled.whole != intact.whole
