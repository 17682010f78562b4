"""Addresses of upstream: which git must not get, and which parts must not be shown or stored."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mfn_patcher.patching import upstream
from mfn_patcher.patching.address import Address, AddressError, as_address, redact
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.upstream import REMOTE, fetch_pin, fetch_revision
from tests.support.http import serving
from tests.support.repositories import StandIn, commit, git
from tests.support.tool import Tool

REFUSED = [
    "--upload-pack=touch {mark};",
    "-u{mark}",
    "--",
    "ext::sh -c 'touch {mark}'",
    "EXT::sh -c 'touch {mark}'",
    "ext://sh -c 'touch {mark}'",
    "fd::0",
    "fd::17/foo",
    "fd://0",
    "helper::anything",
    "https://host/x\n.git",
    "https://host/\x1b[2Jx.git",
    "https:///x.git",
    "",
]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_no_address_never_reaches_git(
    tool: Tool, stand_in: StandIn, tmp_path: Path, address: str
) -> None:
    mark = tmp_path / "injected"
    address = address.format(mark=mark)
    workspace = tmp_path / "workspace"
    project = ("--project", stand_in.project)
    assert tool("apply", "-w", workspace, "--upstream", stand_in.upstream, *project).code == 0
    for command in (
        ("apply", "-w", tmp_path / "another", *project),
        ("apply", "-w", workspace, "--dry-run", *project),
        ("rebase", "--onto", "master", "-w", workspace, *project),
        ("check", *project),
        ("check", "--against", "master", *project),
        ("check", "--history", *project),
    ):
        ran = tool(*command, "--upstream", address)
        assert ran.code == 1, ran.err
        assert "cannot fetch from" in ran.err
        assert "\x1b" not in ran.err
    assert not mark.exists()
    repository = Repository(tmp_path / "bare")
    repository.init()
    with pytest.raises(AddressError):
        fetch_revision(repository, address, "master", ())
    with pytest.raises(AddressError):
        fetch_pin(repository, address, stand_in.pin, ("/",))


def test_a_fifo_is_no_address(tool: Tool, stand_in: StandIn, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", Path("/dev/zero")):
        ran = tool("check", "--project", stand_in.project, "--upstream", place)
        assert (ran.code, "pipe, socket or device" in ran.err) == (1, True)


@pytest.mark.parametrize("revision", ["--upload-pack=touch x", "-x", "*", "m*r", "[m]aster", ""])
def test_revisions_are_names_and_nothing_else(
    tool: Tool, stand_in: StandIn, tmp_path: Path, revision: str
) -> None:
    places = ("--project", stand_in.project, "--upstream", stand_in.upstream)
    ran = tool("check", f"--against={revision}", *places)
    assert (ran.code, "no branch, tag or commit" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://bob:s3cret@host/x.git", "https://host/x.git"),
        ("https://s3cret@host/x.git", "https://host/x.git"),
        ("https://bob:s3@cret@host:8443/x.git", "https://host:8443/x.git"),
        ("HTTP://bob:s3cret@host/x.git", "HTTP://host/x.git"),
        ("https://host/x.git?token=s3cret", "https://host/x.git"),
        ("ssh://git:s3cret@host/x.git", "ssh://git@host/x.git"),
        ("ssh://git@host/x.git", "ssh://git@host/x.git"),
        ("git@host:x.git", "git@host:x.git"),
        ("https://host/@scope/x.git", "https://host/@scope/x.git"),
        ("/mirror/x.git", "/mirror/x.git"),
    ],
)
def test_what_of_an_address_is_shown(address: str, shown: str) -> None:
    known = as_address(Address(address))
    assert (known, known.url) == (shown, address)
    said = f"fatal: cannot reach '{address}': no\nnor '{address}'"
    assert redact(said) == said.replace(address, shown)


def test_half_a_password_is_not_shown(tool: Tool, stand_in: StandIn) -> None:
    places = ("--project", stand_in.project, "--upstream", "https://bob:s3/cret@host/x.git")
    ran = tool("check", *places)
    assert (ran.code, "%2F" in ran.err) == (1, True)
    assert "s3" not in ran.err
    assert "cret" not in ran.err


class _Handler(BaseHTTPRequestHandler):
    """Serves a folder by ``git http-backend`` to who knows the password."""

    folder = Path()
    login = "Basic " + base64.b64encode(b"bob:s3=cret").decode()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self.login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="upstream"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "bob",
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        settings = ("-c", "uploadpack.allowFilter=true", "-c", "uploadpack.allowAnySHA1InWant=true")
        ran = subprocess.run(
            ["git", *settings, "http-backend"],
            input=body,
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        head, _, content = ran.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server(stand_in: StandIn) -> Iterator[str]:
    """Serve the stand-in; return host and port."""
    handler = type("Handler", (_Handler,), {"folder": stand_in.upstream.parent})
    with serving(handler) as place:
        yield place


@pytest.mark.long
def test_a_password_is_used_and_neither_shown_nor_kept(
    tool: Tool, stand_in: StandIn, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user's own setting stays in force beside ours.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.http://{server}/upstream/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"http://{server}/upstairs/")
    upstream = ("--upstream", f"http://bob:s3=cret@{server}/upstream/.git")
    project = ("--project", stand_in.project)
    workspace = tmp_path / "workspace"
    onto = commit_something(stand_in)
    said = [
        tool("check", *project, *upstream),
        tool("check", "--against", onto[:9], "--history", *project, *upstream),
        tool("apply", "-w", workspace, *project, *upstream),
        tool("rebase", "--onto", onto, "-w", workspace, *project, *upstream),
        tool("status", "--json", "-w", workspace, *project),
    ]
    assert [ran.code for ran in said] == [0] * len(said), said
    assert f"http://{server}/upstream/.git" in said[-1].out
    assert "cret" not in "".join(ran.out + ran.err for ran in said)
    assert not subprocess.run(["grep", "-r", "s3=cret", workspace], check=False).stdout
    kept = [path for path in workspace.rglob("*") if path.is_file()]
    assert not any(b"s3=cret" in path.read_bytes() for path in kept)
    wrong = f"http://bob:wr0ng@{server}/upstream/.git"
    refused = tool("check", *project, "--upstream", wrong)
    assert (refused.code, "wr0ng" in refused.err) == (1, False), refused.err


def commit_something(stand_in: StandIn) -> str:
    (stand_in.upstream / "README.md").write_text("one more\n")
    return commit(stand_in.upstream, "Something")


def test_a_password_that_an_older_version_kept_is_not_shown(
    tool: Tool, stand_in: StandIn, tmp_path: Path
) -> None:
    places = ("-w", tmp_path / "workspace", "--project", stand_in.project)
    assert tool("apply", *places, "--upstream", stand_in.upstream).code == 0
    setting = (f"remote.{REMOTE}.url", "https://bob:s3cret@host/x.git")
    git(tmp_path / "workspace", "config", *setting)
    for options in ((), ("--json",)):
        ran = tool("status", *places, *options)
        assert (ran.code, "https://host/x.git" in ran.out, "s3cret" in ran.out) == (0, True, False)


def test_an_old_git_gets_no_password(
    tool: Tool, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have to be on the command line, where every user of the machine sees it."""
    monkeypatch.setattr(upstream, "version", lambda: (2, 30, 9))
    address = "https://me:secret@127.0.0.1:9/x.git"
    ran = tool("check", "--project", stand_in.project, "--upstream", address)
    assert ran.code == 1
    assert "cannot be given the password of an address safely" in ran.err
    assert "Install git 2.31 or later" in ran.err
    assert "secret" not in ran.out + ran.err
