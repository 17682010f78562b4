"""Commands that several hosts can run together: their options, and how they are spread."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfn_patcher.cli.command import Command
from mfn_patcher.cli.options import Number, PathType
from mfn_patcher.cli.terminal import prefix_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mfn_patcher.cluster.job import Job
    from mfn_patcher.training.options import Options

_Function = TypeVar("_Function", bound=Callable[..., Any])

CLUSTER_SECTION = ("cluster", "hosts_file", "rendezvous", "timeout")
"""The parameters of `cluster_options`, for the section of a command's help."""

_OPTIONS = (
    click.option("--cluster", is_flag=True, help="Run as one rank of mpirun or srun."),
    click.option(
        "--hosts",
        "hosts_file",
        type=PathType(dir_okay=False, exists=True),
        metavar="FILE",
        help="Start a rank over ssh on each host in FILE.",
    ),
    click.option(
        "--rendezvous",
        metavar="HOST[:PORT]",
        help="Address of rank 0.  [default: from the launcher]",
    ),
    click.option(
        "--timeout",
        type=Number(click.FloatRange(min=2)),
        default=45,
        show_default=True,
        metavar="SECONDS",
        help="Abort after SECONDS without a step.",
    ),
)


@dataclass(frozen=True)
class ClusterOptions:
    """How a command is spread over hosts.

    Attributes:
        cluster: whether it is one rank of those that a launcher starts.
        hosts_file: file with the hosts on which it starts the other ranks over ssh.
        rendezvous: address of rank 0 that the user gave.
        timeout: seconds without a step after which the ranks give up.
    """

    cluster: bool
    hosts_file: Path | None
    rendezvous: str | None
    timeout: float

    def find_job(self) -> tuple[Job | None, dict[str, str]]:
        """Return the job that this process is a rank of, None for none, and the environment.

        Raises:
            SetupError: the ranks cannot be determined.
        """
        environment = dict(os.environ)
        if not (self.cluster or self.hosts_file):
            if self.rendezvous:
                raise click.UsageError("--rendezvous requires --cluster or --hosts")
            return None, environment
        from mfn_patcher.cluster.job import find_job
        from mfn_patcher.cluster.roles import without_role_variables

        environment = without_role_variables(environment)
        job = find_job(environment, self.hosts_file, self.rendezvous, self.timeout)
        if job.rank.number:
            import socket

            prefix_log(job.rank.on(socket.gethostname()))
        return job, environment


def cluster_options(function: _Function) -> Callable[..., Any]:
    """Add ``--cluster``, ``--hosts``, ``--rendezvous`` and ``--timeout``, passed as `cluster`."""

    @functools.wraps(function)
    def call(*arguments: Any, **given: Any) -> Any:
        fields = dataclasses.fields(ClusterOptions)
        cluster = ClusterOptions(**{field.name: given.pop(field.name) for field in fields})
        return function(*arguments, cluster=cluster, **given)

    for option in reversed(_OPTIONS):
        call = option(call)
    return call


def for_rank(options: Options, job: Job | None) -> Options:
    """Return the training options for the rank that this process is: its share of GPUs."""
    if job is None:
        return options
    from mfn_patcher.cluster.job import share_devices

    gpus = options.gpus
    if not options.cpu:
        gpus = share_devices(gpus, options.visible_devices, job.rank)
    return dataclasses.replace(options, gpus=gpus, workers=job.rank.size)


class RelaunchableCommand(Command):
    """Keeps its arguments as given, so that the same command can be started on another host."""

    _KEY = "mfn_patcher.arguments"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments before they are parsed."""
        ctx.meta[self._KEY] = [str(ctx.info_name), *_without_hosts(args)]
        return super().parse_args(ctx, args)

    @classmethod
    def arguments(cls, ctx: click.Context) -> list[str]:
        """Return the name of the command and its arguments, without ``--hosts``."""
        kept: list[str] = ctx.meta[cls._KEY]
        return kept


def _without_hosts(arguments: Sequence[str]) -> list[str]:
    kept, own = [], True
    words = iter(arguments)
    for word in words:
        own = own and word != "--"
        if own and word == "--hosts":
            next(words, None)
        elif not (own and word.startswith("--hosts=")):
            kept.append(word)
    return kept
