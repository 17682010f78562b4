from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from mfn_patcher.cluster.roles import (
    Layout,
    ServerProcesses,
    bound_command,
    describe_status,
    shell_line,
    without_role_variables,
)
from mfn_patcher.engine import TORCH
from tests.support.launched import children, is_alive, wait_until

LAYOUT = Layout("10.0.0.1", 29112, 4)


WITHOUT_SERVERS = Layout("10.0.0.1", 29112, 4, TORCH)


def test_rank_0_has_the_scheduler() -> None:
    assert LAYOUT.roles(0) == ("scheduler", "server", "worker")
    assert LAYOUT.roles(3) == ("server", "worker")
    assert WITHOUT_SERVERS.roles(0) == WITHOUT_SERVERS.roles(3) == ("worker",)


def test_ports_on_one_host_are_distinct() -> None:
    ports = [29112, *LAYOUT.ports(0, 0), *LAYOUT.ports(1, 1), *LAYOUT.ports(2, 2)]
    assert ports == [29112, 29113, 29114, 29115, 29116, 29117, 29118, 29119]
    assert WITHOUT_SERVERS.ports(0, 0) == [29113, 0]
    assert WITHOUT_SERVERS.ports(1, 1) == [0]


def test_variables() -> None:
    worker = LAYOUT.variables("worker", 2, 1, "10.0.0.9")
    assert worker == {
        "DMLC_ROLE": "worker",
        "DMLC_PS_ROOT_URI": "10.0.0.1",
        "DMLC_PS_ROOT_PORT": "29113",
        "DMLC_NUM_WORKER": "4",
        "DMLC_NUM_SERVER": "4",
        "DMLC_NODE_HOST": "10.0.0.9",
        "PORT": "29117",
        "DMLC_WORKER_ID": "2",
    }
    assert WITHOUT_SERVERS.variables("worker", 2, 1, "10.0.0.9") == {
        **{name: value for name, value in worker.items() if name != "PORT"},
        "DMLC_NUM_SERVER": "0",
    }
    scheduler = LAYOUT.variables("scheduler", 0, 0, "10.0.0.1")
    assert "PORT" not in scheduler
    assert scheduler["CUDA_VISIBLE_DEVICES"] == ""


def test_inherited_role_variables_are_removed() -> None:
    inherited = {"PORT": "80", "DMLC_ROLE": "server", "PS_VERBOSE": "1", "PATH": "/bin", "PSX": ""}
    assert without_role_variables(inherited) == {"PATH": "/bin", "PSX": ""}


def test_descriptions() -> None:
    assert describe_status(-9) == "was killed by SIGKILL"
    assert describe_status(3) == "exited with status 3"
    assert shell_line({"A": "b c"}, ["x", "y z"]) == "A='b c' x 'y z'"


def test_reports_the_exit_status_of_servers(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; print('here', flush=True); "
        "time.sleep(float(os.environ['DELAY'])); sys.exit(7)"
    )
    environments = {
        role: {**os.environ, "DELAY": delay}
        for role, delay in (("scheduler", "60"), ("server", "0.1"))
    }
    servers = ServerProcesses([sys.executable, "-c", code], environments, tmp_path)
    assert wait_until(servers.failed, 10)
    assert servers.failed() == ("server", 7)
    assert servers.states()["scheduler"] in {"S", "R"}
    servers.kill()
    assert servers.failed() == ("scheduler", -signal.SIGKILL)
    assert (tmp_path / "server.log").read_text() == "here\n"


def test_bound_processes_die_with_the_tool(tmp_path: Path) -> None:
    """This also holds when the tool is killed and cannot end them itself."""
    code = (
        "import subprocess, sys\n"
        "from mfn_patcher.cluster.roles import bound_command\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "subprocess.Popen(bound_command(sleep, sys.executable), start_new_session=True).wait()"
    )
    tool = subprocess.Popen([sys.executable, "-c", code])
    assert wait_until(lambda: children(tool.pid), 10)
    (child,) = children(tool.pid)
    assert wait_until(lambda: b"sleep(60)" in Path(f"/proc/{child}/cmdline").read_bytes(), 10)
    assert wait_until(lambda: b"bound.py" not in Path(f"/proc/{child}/cmdline").read_bytes(), 10)
    tool.kill()
    tool.wait()
    assert wait_until(lambda: not is_alive(child), 5)


def test_bound_processes_do_not_start_without_the_tool() -> None:
    command = list(bound_command([sys.executable, "-c", "print('begun')"], sys.executable))
    command[2] = "1"
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "is gone" in ran.stderr
