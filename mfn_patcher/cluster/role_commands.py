"""The commands that a training run on several hosts would start, for its dry run."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence

from mfn_patcher.children.interpreter import InterpreterError
from mfn_patcher.cluster.errors import SetupError
from mfn_patcher.cluster.job import Job
from mfn_patcher.cluster.rendezvous import resolve
from mfn_patcher.cluster.roles import Layout, server_command, shell_line
from mfn_patcher.engine import AUTO, MXNET
from mfn_patcher.training.context import RunContext
from mfn_patcher.training.plan import StagePlan


def list_role_commands(job: Job, plans: Sequence[StagePlan], context: RunContext) -> str:
    """Return variables and command of each role that this process starts, itself or by ssh.

    Args:
        job: how the command is spread over hosts.
        plans: plans of the stages.
        context: where they run on this host.
    """
    if not plans:
        return ""
    python = context.python
    _, packages = context.describe_engine(plans[0])
    lead = _first_address(job.rendezvous.hosts[0])
    ranks = [(host.rank, _first_address(host.address)) for host in job.hosts]
    layout = Layout(lead, job.rendezvous.port, job.rank.size, _engine(context, plans[0]))
    lines = []
    for rank, address in ranks or [(job.rank, _local_address_towards(lead))]:
        for role in layout.roles(rank.number):
            lines.append(f"# {role} of rank {rank.number}")
            variables = layout.variables(role, rank.number, rank.local_rank, address)
            commands = [server_command(python)]
            if role == "worker":
                variables["PYTHONPATH"] = os.pathsep.join(map(str, packages))
                variables["CUDA_VISIBLE_DEVICES"] = plans[0].visible_devices
                commands = [(python, "-u", plan.script, *plan.arguments) for plan in plans]
            lines += [shell_line(variables, command) for command in commands]
    return "\n".join(lines)


def _engine(context: RunContext, plan: StagePlan) -> str:
    try:
        return context.engine(plan).name
    except InterpreterError:
        return MXNET if context.requested_engine == AUTO else context.requested_engine


def _first_address(host: str) -> str:
    with contextlib.suppress(SetupError):
        return resolve(host)[0]
    return host


def _local_address_towards(address: str) -> str:
    """Return the address that a connection from here to `address` would have; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((address, 1))
        except OSError:
            return address
        return str(trial.getsockname()[0])
