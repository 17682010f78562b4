from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from mfn_patcher.runs.log import Watcher
from mfn_patcher.runs.output import is_written
from mfn_patcher.training import process, signals
from mfn_patcher.training.companions import ALONE, Companions
from mfn_patcher.training.process import ExitResult, Launch
from tests.support.launched import wait_until

# Ends at a signal, and says so; or, told to, holds out. Ends of itself, lest a test hang.
WAIT = """
import signal, sys, time
def leave(number, _):
    print("got", signal.Signals(number).name)
    if "stubborn" not in sys.argv:
        sys.exit(3)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, leave)
print("ready")
for _ in range(1000):
    time.sleep(0.02)
"""


class Recorder(io.BytesIO):
    """Remembers what had arrived when; `on_write` is called each time."""

    on_write: Any = None

    def write(self, data: Any) -> int:
        count = super().write(data)
        if self.on_write:
            self.on_write(self.getvalue())
        return count


def run(
    log: Path,
    code: str,
    *arguments: str,
    output: BinaryIO | None = None,
    listener: Companions = ALONE,
    watcher: Watcher | None = None,
) -> ExitResult:
    command = [sys.executable, "-u", "-c", code, *arguments]
    launch = Launch(command, log.parent, os.environ, log)
    return process.run(launch, output or io.BytesIO(), listener, watcher)


class Heard:
    """A watcher that keeps the output, and can do something at each tick."""

    def __init__(self, on_tick: Callable[[bytes], None] = lambda _: None) -> None:
        self.chunks: list[bytes] = []
        self._on_tick = on_tick

    def heard(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def tick(self) -> None:
        self._on_tick(b"".join(self.chunks))


class Broken(Heard):
    """A watcher with a bug."""

    def heard(self, chunk: bytes) -> None:
        super().heard(chunk)
        raise ZeroDivisionError("a bug of ours")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


def test_output_of_both_kinds_to_log_and_through(log: Path) -> None:
    output = io.BytesIO()
    log.write_bytes(b"former\n")
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.stdout.write('no end')"
    ended = run(log, code, output=output)
    assert (ended.status, ended.signal) == (0, None)
    assert output.getvalue() == b"out\nerr\nno end"
    assert log.read_bytes() == b"former\n" + output.getvalue()
    assert ended.tail == ("out", "err", "no end")
    assert 0 < ended.seconds < 20


def test_output_is_live_also_in_the_middle_of_a_line(log: Path) -> None:
    output = Recorder()
    go_on = log.parent / "go on"
    output.on_write = lambda _: go_on.touch()
    code = (
        "import os, time; print('half', end='')\nwhile not os.path.exists('go on'): time.sleep(.01)"
    )
    assert run(log, code + "\nprint(' whole')", output=output).status == 0
    assert output.getvalue() == b"half whole\n"


def test_large_output_is_complete(log: Path) -> None:
    output = io.BytesIO()
    code = "import sys\nfor i in range(20000): print(i, '数' * 100)\nsys.exit(5)"
    ended = run(log, code, output=output)
    assert ended.status == 5
    assert len(output.getvalue()) > 6_000_000
    assert output.getvalue() == log.read_bytes()
    assert [line.split()[0] for line in ended.tail] == [str(n) for n in range(19985, 20000)]


def test_bytes_that_are_not_text(log: Path) -> None:
    output = io.BytesIO()
    ended = run(log, r"import sys; sys.stdout.buffer.write(b'\xff\n')", output=output)
    assert output.getvalue() == b"\xff\n"
    assert ended.tail == ("\N{REPLACEMENT CHARACTER}",)


def test_the_reader_of_the_output_is_gone(log: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import time\nfor i in range(4): print(i); time.sleep(.1)"
    with os.fdopen(writing, "wb") as pipe:
        assert run(log, code, output=pipe).status == 0
        pipe.write(b"later output does not fail either")
    assert log.read_text() == "0\n1\n2\n3\n"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_is_passed_on_and_waited_for(
    log: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    output = Recorder()
    number = signal.Signals[name]
    output.on_write = lambda seen: os.kill(os.getpid(), number) if seen == b"ready\n" else None
    ended = run(log, WAIT, output=output)
    assert (ended.status, ended.signal) == (3, number)
    assert output.getvalue() == f"ready\ngot {name}\n".encode()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{name}: waiting")


def test_a_second_signal_kills(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    output = Recorder()
    output.on_write = lambda seen: (
        os.kill(os.getpid(), signal.SIGINT)
        if seen.endswith((b"ready\n", b"got SIGINT\n"))
        else None
    )
    ended = run(log, WAIT, "stubborn", output=output)
    assert (ended.status, ended.signal) == (-signal.SIGKILL, signal.SIGINT)
    assert caplog.messages[1] == "SIGINT: killed the script"


def test_a_signal_reaches_the_childs_children(log: Path) -> None:
    output = Recorder()
    output.on_write = lambda seen: (
        os.kill(os.getpid(), signal.SIGTERM) if b"ready" in seen else None
    )
    code = "import subprocess, sys; subprocess.run([sys.executable, '-u', '-c', sys.argv[1]])"
    run(log, code, WAIT, output=output)
    assert wait_until(lambda: "got SIGTERM" in log.read_text())
    assert wait_until(lambda: not is_written(log))


def test_a_signal_is_passed_on_while_output_is_stuck(log: Path) -> None:
    """The reader of our output has stopped reading, as `less` does; Ctrl-C works all the same."""
    reading, writing = os.pipe()
    log.touch()
    code = "print('x' * 1000000)\n" + WAIT

    def interrupt() -> None:
        wait_until(lambda: b"ready" in log.read_bytes())
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: b"got SIGINT" in log.read_bytes())
        while os.read(reading, 1 << 20):
            pass

    thread = threading.Thread(target=interrupt)
    thread.start()
    with os.fdopen(writing, "wb") as pipe:
        assert run(log, code, output=pipe).status == 3
    thread.join()


def test_a_signal_in_the_middle_of_a_message_does_not_end_the_run(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Recorder()
    output.on_write = lambda seen: (
        os.kill(os.getpid(), signal.SIGINT) if seen == b"ready\n" else None
    )

    def fail(*_: object) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(signals._LOG, "info", fail)
    assert run(log, WAIT, output=output).status == 3


def test_ignored_signals_stay_ignored(log: Path) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        output = Recorder()
        output.on_write = lambda _: os.kill(os.getpid(), signal.SIGHUP)
        ended = run(log, "print('ready'); import time; time.sleep(.2)", output=output)
        assert (ended.status, ended.signal) == (0, None)
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_no_child_outlives_an_exception(log: Path) -> None:
    output = Recorder()

    def fail(_: bytes) -> None:
        raise RuntimeError("a bug of ours")

    output.on_write = fail
    with pytest.raises(RuntimeError, match="a bug"):
        run(
            log, "import os\n" + WAIT.replace('print("ready")', "print(os.getpid())"), output=output
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(output.getvalue()), 0)
    assert not is_written(log)


def test_a_watcher_sees_the_output_even_if_its_reader_is_gone(log: Path) -> None:
    watcher = Heard()
    reading, writing = os.pipe()
    os.close(reading)
    code = "import time\nfor i in range(4): print(i); time.sleep(.1)"
    with os.fdopen(writing, "wb") as pipe:
        run(log, code, output=pipe, watcher=watcher)
    assert b"".join(watcher.chunks) == b"0\n1\n2\n3\n"
    assert len(watcher.chunks) > 2
    assert watcher.chunks[-1] == b""


def test_a_watcher_that_fails_does_not_end_the_run(
    log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = io.BytesIO()
    watcher = Broken()
    code = "import time\nfor i in range(4): print(i); time.sleep(.1)"
    assert run(log, code, output=output, watcher=watcher).status == 0
    assert output.getvalue() == b"0\n1\n2\n3\n"
    assert len(watcher.chunks) == 1
    assert caplog.messages == [
        "the run is no longer watched, because of a bug in mfn-patch: "
        "ZeroDivisionError('a bug of ours')"
    ]


def test_a_program_that_does_not_exist(log: Path) -> None:
    with pytest.raises(FileNotFoundError):
        process.run(Launch(["/no/such/program"], log.parent, {}, log), io.BytesIO(), ALONE)


def test_the_log_is_locked_while_the_child_lives_though_the_tool_was_killed(log: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from mfn_patcher.training import companions, process\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "command = [sys.executable, '-u', '-c', sys.argv[2]]\n"
        "launch = process.Launch(command, log.parent, os.environ, log)\n"
        "process.run(launch, sys.stdout.buffer, companions.ALONE)"
    )
    assert not is_written(log)
    tool = subprocess.Popen(
        [sys.executable, "-c", code, str(log), "import os\nprint(os.getpid())\n" + WAIT],
        stdout=subprocess.DEVNULL,
    )
    assert wait_until(lambda: log.exists() and "ready" in log.read_text())
    child = int(log.read_text().split()[0])
    tool.kill()
    tool.wait()
    assert is_written(log)
    os.kill(child, signal.SIGKILL)
    assert wait_until(lambda: not is_written(log))


@pytest.mark.parametrize("manner", ["willing", "stubborn"])
def test_a_watcher_can_end_the_run(log: Path, manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.3)

    def stop(heard: bytes) -> None:
        if b"ready" in heard:
            raise process.Stop("enough")

    ended = run(log, WAIT, manner, watcher=Heard(stop))
    assert ended.stopped == "enough"
    assert ended.signal is None
    assert ended.status == (3 if manner == "willing" else -signal.SIGKILL)
    assert b"got SIGTERM" in log.read_bytes()


def test_a_guard_ends_the_run_though_a_watcher_has_failed(log: Path) -> None:
    started: list[int] = []

    class Guard(Companions):
        def started(self, pid: int) -> None:
            started.append(pid)

        def guard(self) -> None:
            if b"ready" in log.read_bytes():
                raise process.Stop("another host is gone", grace=0.2)

    ended = run(log, WAIT, "stubborn", listener=Guard(), watcher=Broken())
    assert ended.stopped == "another host is gone"
    assert ended.status == -signal.SIGKILL
    assert ended.seconds < 10
    assert len(started) == 1


def test_signals_are_passed_to_the_listener(log: Path) -> None:
    output = Recorder()
    output.on_write = lambda seen: (
        os.kill(os.getpid(), signal.SIGTERM) if seen == b"ready\n" else None
    )
    received: list[signal.Signals] = []

    class Listener(Companions):
        def received(self, number: signal.Signals) -> None:
            received.append(number)

    assert run(log, WAIT, output=output, listener=Listener()).status == 3
    assert received == [signal.SIGTERM]
