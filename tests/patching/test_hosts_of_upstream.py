"""Hosts with limited protocols, and partial clones: git never starts another git by itself."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from mfn_patcher.patching import upstream
from mfn_patcher.patching.git import GitError, Repository
from tests.support.http import serving
from tests.support.repositories import commit, git
from tests.support.toy import LINES, Toy

pytestmark = pytest.mark.long


class Handler(SimpleHTTPRequestHandler):
    """Serves files as a web server does that knows nothing of git, and counts."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("whole", [False, True], ids=["new workspace", "clone of the user's own"])
def test_a_host_of_plain_files_is_refused_at_once(toy: Toy, whole: bool) -> None:
    bare = toy.folder / "upstream.git"
    git(toy.folder, "clone", "--quiet", "--bare", str(toy.upstream), str(bare))
    git(bare, "update-server-info")
    if whole:
        git(toy.folder, "clone", "--quiet", str(toy.upstream), str(toy.workspace))
        assert toy("apply").code == 0
    project = ("--project", str(toy.project))
    workspace = ("-w", str(toy.workspace))
    commands = [("check",), ("check", "--against", "main"), ("check", "--history")]
    commands.append(("rebase", "--onto", "main", *workspace) if whole else ("apply", *workspace))
    with serving(partial(Handler, directory=str(toy.folder))) as place:
        for command in commands:
            upstream = ("--upstream", f"http://{place}/upstream.git")
            Handler.asked.clear()
            ran = toy.tool(*command, *project, *upstream)
            assert (ran.code, "as plain files" in ran.err) == (1, True), ran.err
            assert "--upstream PATH" in ran.err
            assert not [path for path in Handler.asked if "/objects/" in path]
    if toy.workspace.exists():
        assert b"promisor" not in (toy.workspace / ".git" / "config").read_bytes()


def descendants(process: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return children + [other for child in children for other in descendants(child)]


def wait_for_end(processes: list[int], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline, "git goes on without the tool"
        time.sleep(0.1)


@pytest.fixture
def orphans(toy: Toy) -> Iterator[list[int]]:
    """What a tool had started that asked a host which never answers, and then was killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/silent.git"
        command = [sys.executable, "-m", "mfn_patcher", "check", "--project", str(toy.project)]
        process = subprocess.Popen([*command, "--upstream", address], stderr=subprocess.DEVNULL)
        server.settimeout(60)
        connection, _ = server.accept()
        started = descendants(process.pid)
        assert len(started) > 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        yield started
        connection.close()


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child so")


@linux
def test_git_ends_with_a_killed_tool(orphans: list[int]) -> None:
    wait_for_end(orphans[:1], seconds=20)


@linux
@pytest.mark.slow
def test_what_git_started_gives_up_a_silent_host(orphans: list[int]) -> None:
    wait_for_end(orphans, seconds=100)


def test_git_fetches_nothing_by_itself(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.branch("big")
    toy.write("big/file.bin", "not needed\n")
    pin = commit(toy.upstream, "pin")
    (toy.project / "pinned_commit.txt").write_text(f"{pin}\n")
    assert toy("apply").code == 0
    repository = Repository(toy.workspace)
    blob = repository.entries(pin)["big/file.bin"][1]
    assert repository.missing([blob]) == {blob}
    trace = toy.folder / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    with pytest.raises(GitError):
        repository.run("cat-file", "blob", blob)
    assert "upload-pack" not in trace.read_text()
    assert repository.missing([blob]) == {blob}
    # Also where git does not know the variable that forbids it.
    with pytest.raises(GitError):
        repository.run("cat-file", "blob", blob, env={"GIT_NO_LAZY_FETCH": "0"})
    assert repository.missing([blob]) == {blob}


@pytest.mark.parametrize("checkout", ["--no-checkout", "--sparse"])
def test_a_partial_clone_of_the_users_own(toy: Toy, checkout: str) -> None:
    git(toy.upstream, "config", "uploadpack.allowFilter", "true")
    git(toy.upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    address = f"file://{toy.upstream}"
    how = ("--quiet", "--filter=blob:none", checkout)
    git(toy.folder, "clone", *how, address, str(toy.workspace))
    ran = toy("apply")
    assert ran.code == 0, ran.err
    assert b"LINE 9\n" in git(toy.workspace, "show", "HEAD:src/a.py")
    assert (toy.workspace / "README.md").exists()
    toy.branch("newer")
    toy.write("elsewhere/more.py", "upstream's\n")
    toy.change("src/a.py", 30, "upstream's")
    commit(toy.upstream, "newer")
    ran = toy("rebase", "--onto", "newer")
    assert ran.code == 0, ran.err
    assert git(toy.workspace, "status", "--porcelain") == b""
    assert toy("revert").code == 0


def test_files_of_one_name_are_fetched_together(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    for number in (3, 40):
        toy.branch(f"with-{number}")
        for each in range(number):
            toy.write(f"pkg/p{each}/a.py", "".join(LINES[each:]) + f"of {each}\n")
        git(toy.upstream, "mv", "src/a.py", "src/renamed.py")
        commit(toy.upstream, "moved")
        trace = toy.folder / f"trace {number}"
        monkeypatch.setenv("GIT_TRACE", str(trace))
        ran = toy("check", "--against", f"with-{number}".replace(" ", "-"))
        monkeypatch.delenv("GIT_TRACE")
        assert ran.code == 3, ran.err
        assert "pkg/p0/a.py" in ran.out
        served.append(trace.read_text().count("built-in: git upload-pack"))
    assert served[0] == served[1] > 0


def test_a_submodule_of_the_name_of_a_missing_file(toy: Toy) -> None:
    toy.branch("newer")
    git(toy.upstream, "rm", "--quiet", "src/a.py")
    git(toy.upstream, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},third/a.py")
    git(toy.upstream, "commit", "--quiet", "--message", "newer")
    for options in (("--against", "newer"), ("--history", "pin..newer")):
        ran = toy("check", *options)
        assert ran.code == 3, ran.err
        assert "gone" in ran.out


def test_the_file_became_a_submodule_or_a_link(toy: Toy) -> None:
    toy.branch("submodule")
    git(toy.upstream, "rm", "--quiet", "--cached", "src/a.py")
    git(toy.upstream, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},src/a.py")
    git(toy.upstream, "commit", "--quiet", "--message", "submodule")
    toy.branch("link")
    (toy.upstream / "src" / "a.py").unlink()
    (toy.upstream / "src" / "a.py").symlink_to("b.py")
    commit(toy.upstream, "link")
    for revision in ("submodule", "link"):
        for options in (("--against", revision), ("--history", f"pin..{revision}")):
            ran = toy("check", *options)
            assert ran.code == 3, ran.err
            assert "gone" in ran.out


def test_a_new_file_where_upstream_has_a_link(toy: Toy) -> None:
    toy.write("src/new.py", "a patch's\n")
    toy.take("first/0002-new.patch")
    toy.branch("link")
    (toy.upstream / "src" / "new.py").symlink_to("b.py")
    commit(toy.upstream, "link")
    for options in (("--against", "link"), ("--history", "pin..link")):
        ran = toy("check", *options)
        assert ran.code == 3, ran.err
        assert "conflict" in ran.out


def test_a_host_that_never_answers(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"git://127.0.0.1:{silent.getsockname()[1]}/x.git"
        ran = toy.tool("check", "--project", toy.project, "--upstream", address)
    assert ran.code == 1
    assert f"{address} could not be reached: " in ran.err
    assert "no answer within 1 seconds" in ran.err
    assert "--upstream PATH" in ran.err
