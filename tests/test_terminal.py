"""Nothing that others wrote is obeyed by a terminal, and no locale stops a command."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, Group

from mfn_patcher.cli import terminal
from mfn_patcher.drift.formats import FORMATS
from mfn_patcher.printable import UNSAFE, counted, csv_cell, json_text, one_line, visible
from mfn_patcher.runs.events import Verification
from mfn_patcher.training.watch.alarms import Alarm
from mfn_patcher.training.watch.display import Display
from tests.support.recipes import TEXT
from tests.support.repositories import ROOT, StandIn, commit, edit, git
from tests.support.runs import SAMPLE, WHOLE, make_run
from tests.support.tool import Tool

# The title of the window, the screen cleared, a bell, a colour, a C1 sequence, reversed text.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5m\b\r\u202ekcab"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5m\x08\r\u202ekcab"


def safe(text: str) -> bool:
    return not re.search(f"[{UNSAFE}]", text)


def test_what_is_visible() -> None:
    assert visible(HOSTILE) == SHOWN
    assert safe(SHOWN)
    assert visible("tab\tline\nZoë 人脸 \U0001f600") == "tab\tline\nZoë 人脸 \U0001f600"
    assert visible(b"caf\xe9".decode(errors="surrogateescape")) == r"caf\xe9"
    assert one_line("a\tb\nc\x00") == r"a\tb\nc\x00"
    every = "".join(map(chr, range(0x2100)))
    assert safe(visible(every))


def test_what_is_counted() -> None:
    counts = [counted(n, "patch", "patches") for n in (0, 1, 2, 1000)]
    assert counts == ["0 patches", "1 patch", "2 patches", "1,000 patches"]


def test_json_says_the_same() -> None:
    value = {"text": HOSTILE, "byte": "caf\udce9", "face": "脸\U0001f600"}
    for ascii_only in (False, True):
        text = json_text(value, ascii_only=ascii_only)
        assert safe(text)
        assert json.loads(text) == value
        assert text.isascii() == ascii_only
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_file_is_a_formula(start: str) -> None:
    cell = csv_cell(f"{start}cmd|' /C calc'!A0")
    assert isinstance(cell, str)
    assert cell.startswith("'")
    assert csv_cell(-0.5) == -0.5
    assert csv_cell("lfw") == "lfw"


def test_styles_of_our_own_alone_pass() -> None:
    styled = terminal.style(f"ok {HOSTILE}", fg="green")
    assert terminal.unstyle(styled) == f"ok {SHOWN}"
    assert terminal.as_cell(f"{styled}\n\x1b[32m").endswith(r"\n\x1b[32m")
    assert terminal.unstyle(terminal.as_cell(styled)) == f"ok {SHOWN}"


def on_a_terminal(*arguments: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run the tool on a terminal and return what reaches it."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "mfn_patcher", *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **(environment or {})},
    ) as child:
        os.close(its)
        said = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                chunk = b""
            if not chunk:
                break
            said += chunk
        child.wait()
    os.close(ours)
    return said.decode(errors="surrogateescape").replace("\r\n", "\n")


def test_styles_reach_a_terminal_and_nothing_else_does(
    tool: Tool, stand_in: StandIn, tmp_path: Path
) -> None:
    places = ("-w", tmp_path / "workspace", "--project", stand_in.project)
    assert tool("apply", *places, "--upstream", stand_in.upstream).code == 0
    file = tmp_path / "workspace" / "src" / "table.py"
    file.write_bytes(f"{HOSTILE}\n".encode() + file.read_bytes())
    status, diff = (on_a_terminal(*words, *places) for words in (("status",), ("diff", "--local")))
    assert "\x1b[32mapplied" in status
    assert f"\x1b[32m+{SHOWN}\x1b[0m\n" in diff
    for said in (status, diff):
        assert safe(re.sub(r"\x1b\[(0|1|3[0-7])m", "", said))


def test_the_workspace_and_what_upstream_says(
    tool: Tool, stand_in: StandIn, tmp_path: Path
) -> None:
    places = ("-w", tmp_path / "workspace", "--project", stand_in.project)
    upstream = ("--upstream", stand_in.upstream)
    assert tool("apply", *places, *upstream).code == 0
    workspace = tmp_path / "workspace"
    name = b"caf\xe9\x1b]0;owned\x07.py"
    with open(os.path.join(os.fsencode(workspace), b"src", name), "w") as file:  # noqa: PTH118, PTH123
        file.write("mine\n")
    git(workspace, "add", "--all")
    status = tool("status", *places)
    assert r"edited   src/caf\xe9\x1b]0;owned\x07.py" in status.out
    (listed,) = json.loads(tool("status", "--json", *places).out)["local"]["files"]
    assert os.fsencode(listed) == b"src/" + name
    git(workspace, "commit", "--quiet", "--message", f"Mine {HOSTILE}")
    assert f"Mine {SHOWN}" in tool("status", *places).out
    edit(stand_in.upstream, "src/shapes.py", b"    pw = (kw-1)/2\n", HOSTILE.encode() + b"\n")
    commit(stand_in.upstream, f"Theirs {HOSTILE}")
    check = ("check", "--history", "--project", stand_in.project, *upstream, "--format")
    for form in FORMATS:
        ran = tool(*check, form)
        assert ran.code == 3
        assert "owned" in ran.out
        assert safe(ran.out)
    assert f"found:    {SHOWN}" in tool(*check, "text").out
    ran = tool("check", "--project", stand_in.project, *upstream, "--against", HOSTILE)
    assert (ran.code, safe(ran.err)) == (1, True)
    for wrong in ((HOSTILE,), (f"--{HOSTILE}",), ("--format", HOSTILE)):
        ran = tool("check", *wrong)
        assert (ran.code, safe(ran.err)) == (2, True)


def test_logs_records_and_recipes(tool: Tool, tmp_path: Path) -> None:
    hostile = HOSTILE.replace("\r", "").encode()
    log = SAMPLE.read_bytes().replace(b"[lfw]", b"[=lfw" + re.sub(rb"[][]", b"", hostile) + b"]")
    log = log.replace(b"network='y1'", b"network='" + hostile + b"'")
    (tmp_path / "log").write_bytes(log)
    entry = dataclasses.replace(WHOLE, environment={"OMP": HOSTILE}, outcome=HOSTILE)
    for name in ("one", f"two{HOSTILE}"):
        make_run(tmp_path, name, entry, log)
    (tmp_path / "recipe.toml").write_text(
        TEXT.replace('source = "', f'source = "{json.dumps(HOSTILE)[1:-1]}').replace(
            'name = "mobilefacenet"', 'name = "mine"'
        )
    )
    place = ("-w", tmp_path)
    shown = [
        tool("log", tmp_path / "log"),
        tool("log", tmp_path / "log", "--format", "csv"),
        tool("log", tmp_path / "log", "--format", "json"),
        tool("runs", "list", *place),
        tool("runs", "list", "--json", *place),
        tool("runs", "show", "one", *place),
        tool("runs", "show", "one", "--json", *place),
        tool("runs", "compare", "one", "two", *place),
        tool("recipes", "show", tmp_path / "recipe.toml", "--json"),
    ]
    for ran in shown:
        assert ran.code == 0, ran.err
        assert "owned" in ran.out
        assert safe(ran.out), ran.out
    for row in csv.reader(io.StringIO(shown[1].out)):
        assert not row[1].startswith("=")
    ran = tool("runs", "show", f"no{HOSTILE}", *place)
    assert (ran.code, safe(ran.err)) == (1, True)


def test_the_display_of_a_training() -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, color_system=None, width=200)
    display = Display(HOSTILE, Path(HOSTILE), None, 1, console)
    display.heard(f"starting at random: {HOSTILE}\nWARNING:root:{HOSTILE}\n".encode())
    display(Verification(None, HOSTILE, 1, 0.5, 0.1, None, None, None))
    display(Alarm(None, "not-finite", HOSTILE))
    console.print(Group(*display.render(200)))
    assert drawn.getvalue().count("owned") == 6
    # Bold and dim are the display's own.
    assert safe(re.sub(r"\x1b\[[012]m", "", drawn.getvalue())), drawn.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_characters(
    tool: Tool, stand_in: StandIn, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "脸").mkdir()
    places = ("-w", str(tmp_path / "脸" / "w"), "--project", str(stand_in.project))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "mfn_patcher", *arguments, *places]
        ran = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        # click takes ASCII for a wrong setting, and writes UTF-8.
        return ran.stdout.decode("utf-8" if encoding == "ascii" else encoding)

    assert tool("apply", *places, "--upstream", stand_in.upstream).code == 0
    assert f"{tmp_path / '脸'}" in run("status").replace("\\u8138", "脸")
    assert json.loads(run("status", "--json"))["workspace"] == str(tmp_path / "脸" / "w")


def test_a_locale_that_is_not_utf_8(stand_in: StandIn, tmp_path: Path) -> None:
    """Names of files are bytes, and texts of the project UTF-8, whatever the locale says."""
    upstream, project, workspace = stand_in.upstream, stand_in.project, tmp_path / "wörk"
    series = project / "patches" / "series"
    series.write_text(f"# Größe\n{series.read_text()}", encoding="utf-8")
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}

    def run(*arguments: str | Path) -> str:
        command = [sys.executable, "-m", "mfn_patcher", *arguments]
        ran = subprocess.run(
            [*command, "-w", workspace, "--project", project],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.decode()

    run("apply", "--upstream", upstream)
    (workspace / "src" / "naïve.py").write_text("ü\n", encoding="utf-8")
    git(workspace, "add", "--all")
    assert "edited   src/naïve.py" in run("status")
    assert json.loads(run("status", "--json"))["local"]["files"] == ["src/naïve.py"]
    paragraphs = ("Why=w", "Origin=o", "Effect=e")
    header = ("--subject", "Grüße", *(word for each in paragraphs for word in ("--header", each)))
    run("new", "it", "--stack", "local", *header, "--author", "Zoë <z@b>")
    assert "Größe" in series.read_text(encoding="utf-8")
    author = git(workspace, "log", "-1", "--format=%an | %s")
    assert author.decode() == "Zoë | Grüße\n"
