"""What all tests share: a hermetic environment, a stand-in for upstream, and upstream itself."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.children import interpreter
from mfn_patcher.cli import run
from tests.support.lone import Lone
from tests.support.repositories import StandIn, git
from tests.support.shipped import make_shipped
from tests.support.tool import Check, Ran, Tool
from tests.support.toy_series import make_stand_in
from tests.support.upstream import ADDRESS, unproven

# Markers of tests that run a package, and its name.
PACKAGES = {"mxnet": "MXNet", "torch": "PyTorch"}

# Tests run side by side, a process a core. With one thread sums also come out in one order.
os.environ["OMP_NUM_THREADS"] = "1"

# How the user's git reaches upstream. Nothing else of their configuration gets into a test.
_CONNECTION = r"^(url|http|safe|uploadpack)\."


def _reach_upstream() -> tuple[str, bool]:
    """Return how the user's git reaches hosts, as settings, and whether it reaches upstream."""
    listing = subprocess.run(
        ["git", "config", "--global", "--null", "--get-regexp", _CONNECTION],
        capture_output=True,
        check=False,
    ).stdout.decode()
    sections = []
    for entry in filter(None, listing.split("\0")):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        title = f'{section} "{subsection}"' if subsection else section
        sections.append(f"[{title}]\n\t{name} = {value}\n")
    try:
        found = subprocess.run(
            ["git", "ls-remote", "--exit-code", ADDRESS, "HEAD"],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            check=False,
            timeout=30,
        )
        reached = found.returncode == 0
    except subprocess.TimeoutExpired:
        reached = False
    return "".join(sections), reached


# The background of a shell ignores SIGINT and SIGQUIT, and nohup ignores SIGHUP. Children inherit
# that, and would not receive the signals that tests send.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests without their package, deselect slow tests, and run the longest files first."""
    # Files are handed out in this order; one long file at the end would keep one core waiting, and
    # so would two files at a time that share a training run. How long a file takes goes with its
    # size.
    sizes = {path: path.stat().st_size for path in {item.path for item in items}}
    items.sort(key=lambda item: ("upstream" not in item.path.parts, -sizes[item.path]))
    for package, name in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            without = pytest.mark.skip(reason=f"{name} is not installed here")
            for item in items:
                if item.get_closest_marker(package):
                    item.add_marker(without)
    if "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session")
def connection() -> tuple[str, bool]:
    return _reach_upstream()


@pytest.fixture(autouse=True)
def hermetic(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    connection: tuple[str, bool],
) -> Path:
    """Give every test its own HOME and no GIT_ or MFN_PATCH_ variables; return that HOME."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "MFN_PATCH_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (home / ".gitconfig").write_text(connection[0])
    return home


@pytest.fixture(scope="session")
def _answers() -> dict[tuple[Any, ...], dict[str, Any]]:
    return {}


@pytest.fixture
def engines_are_imported_once(
    monkeypatch: pytest.MonkeyPatch, _answers: dict[tuple[Any, ...], dict[str, Any]]
) -> None:
    """Give each command the first answer about what this interpreter has, which takes seconds.

    In an environment that differs in more than the test and its HOME, the interpreter is asked.
    """
    ask = interpreter.ask

    def ask_once(
        python: str, environment: Mapping[str, str], program: str, *arguments: str, **options: float
    ) -> dict[str, Any]:
        if (python, program) != (sys.executable, "environment"):
            return ask(python, environment, program, *arguments, **options)
        own = {"HOME", "PYTEST_CURRENT_TEST"}
        key = (arguments, frozenset(it for it in environment.items() if it[0] not in own))
        if key not in _answers:
            _answers[key] = ask(python, environment, program, *arguments, **options)
        return copy.deepcopy(_answers[key])

    monkeypatch.setattr(interpreter, "ask", ask_once)


@pytest.fixture
def upstream_address(connection: tuple[str, bool]) -> str:
    """The address of the real upstream; a test that cannot reach it is skipped, or fails."""
    if not connection[1]:
        unproven(
            f"upstream is not reachable at {ADDRESS}; "
            "a clone or mirror will do: MFN_PATCH_UPSTREAM=PATH make test"
        )
    return ADDRESS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long each room's tests took, and last, loudly, what was not proven."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for each in reports:
            if isinstance(each, pytest.TestReport):
                room = "/".join(each.nodeid.split("::")[0].split("/")[:2])
                seconds[room] += each.duration
    if len(seconds) > 1:
        terminalreporter.section("seconds of work")
        for room, took in sorted(seconds.items(), key=lambda each: -each[1]):
            terminalreporter.write_line(f"{took:8.1f}  {room}")
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"NOT PROVEN HERE: {len(skipped)} tests were skipped", "!", red=True)
    reasons: dict[str, list[str]] = {}
    for report in skipped:
        reasons.setdefault(report.longrepr[2].removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, names in reasons.items():
        terminalreporter.write_line(f"{reason}:")
        for name in names:
            terminalreporter.write_line(f"  {name}")


@pytest.fixture(scope="session")
def _stand_in_once(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return make_stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def stand_in(_stand_in_once: StandIn, tmp_path: Path) -> StandIn:
    """A toy upstream of the test's own, and a project with the toy series."""
    return _copied(_stand_in_once, tmp_path / "stand in")


@pytest.fixture(scope="session")
def _shipped_once(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return make_shipped(tmp_path_factory.mktemp("shipped"))


@pytest.fixture
def shipped(_shipped_once: StandIn, tmp_path: Path) -> StandIn:
    """A stand-in for upstream, and a project with the shipped patches, which fit it."""
    return _copied(_shipped_once, tmp_path / "shipped")


def _copied(stand_in: StandIn, folder: Path) -> StandIn:
    shutil.copytree(stand_in.upstream.parent, folder)
    return StandIn(folder / "upstream", folder / "project", stand_in.pin)


@pytest.fixture
def tool(capfdbinary: pytest.CaptureFixture[bytes]) -> Tool:
    """Run `mfn-patch ARGUMENTS` in this process, as its main program does."""

    def run_tool(*arguments: str | Path) -> Ran:
        capfdbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(), err.decode())

    return run_tool


@pytest.fixture
def check(tool: Tool, stand_in: StandIn) -> Check:
    """Run `mfn-patch check OPTIONS` against the stand-in."""
    places = ("--upstream", stand_in.upstream, "--project", stand_in.project)
    return lambda *options: tool("check", *places, *options)


@pytest.fixture
def lone(tool: Tool, tmp_path: Path) -> Lone:
    """An empty upstream, and a project without a patch."""
    lone = Lone(tool, tmp_path / "upstream", tmp_path / "project")
    lone.upstream.mkdir()
    git(lone.upstream, "init", "--quiet", "--initial-branch=master")
    return lone


@pytest.fixture
def later(stand_in: StandIn) -> Path:
    """The work tree of upstream, back at the pin, to make another revision of."""
    git(stand_in.upstream, "checkout", "--quiet", "-B", "later", stand_in.pin)
    return stand_in.upstream
