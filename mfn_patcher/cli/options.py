"""Options and ways of printing that commands share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfn_patcher.cli.terminal import as_cell, echo, style, unstyle
from mfn_patcher.engine import AUTO, CHOICES
from mfn_patcher.patching.project import PUBLIC_ADDRESS, project_root, resolve_address
from mfn_patcher.recipes import DEFAULT
from mfn_patcher.remedies import as_typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfn_patcher.cluster.job import Job
    from mfn_patcher.finding import Finding
    from mfn_patcher.patching.series import Series

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LOG = logging.getLogger(__name__)


class PathType(click.Path):
    """A path that is not empty: Python would take that for the current folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Refuse an empty path, as a variable that is not set leaves one."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


def workspace_option(function: _Function) -> _Function:
    """Add ``-w/--workspace``, passed as `workspace`."""
    return click.option(
        "-w",
        "--workspace",
        type=PathType(file_okay=False, path_type=Path),
        default=Path("insightface"),
        envvar="MFN_PATCH_WORKSPACE",
        show_default="./insightface",
        show_envvar=True,
        metavar="DIR",
        help="The patched clone of upstream.",
    )(function)


def project_option(function: _Function) -> _Function:
    """Add ``--project``, passed as `project`."""
    return click.option(
        "--project",
        type=PathType(file_okay=False, exists=True, path_type=Path),
        envvar="MFN_PATCH_PROJECT",
        show_envvar=True,
        metavar="DIR",
        show_default="this folder if it is one, else the tool's own",
        help="The folder with pinned_commit.txt and patches/.",
    )(function)


def upstream_option(function: _Function) -> _Function:
    """Add ``--upstream``, passed as `address`, resolved where it is a folder."""
    return click.option(
        "--upstream",
        "address",
        default=PUBLIC_ADDRESS,
        envvar="MFN_PATCH_UPSTREAM",
        show_default=True,
        show_envvar=True,
        metavar="ADDRESS",
        callback=lambda _context, _parameter, value: resolve_address(value),
        help="Where to fetch upstream from: an address, or a clone or mirror on this machine.",
    )(function)


def in_a_folder(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Any:
    """Return `path`, a file to write, if the folder that it is to be in is there.

    Raises:
        click.BadParameter: it is not; better said before the work than after it.
    """
    if path and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"folder {path.absolute().parent} does not exist")
    return path


python_option = click.option(
    "--python",
    metavar="PYTHON",
    help="The training interpreter, if not the one that runs mfn-patch.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(CHOICES),
    default=AUTO,
    show_default=True,
    help="What computes; auto is MXNet where it can, else PyTorch.",
)
recipe_option = click.option(
    "--recipe",
    "recipe_name",
    default=DEFAULT,
    show_default=True,
    metavar="NAME|FILE",
    help="A recipe of the tool's own (recipes list), or a TOML file of yours.",
)


def cluster_options(function: _Function) -> _Function:
    """Add ``--cluster``, ``--hosts``, ``--rendezvous`` and ``--timeout``."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=2),
            default=45,
            show_default=True,
            metavar="SECONDS",
            help="With several hosts: abort after this long without a step.",
        ),
        click.option(
            "--rendezvous",
            metavar="HOST[:PORT]",
            help="Rank 0's host as the others reach it, if the launcher does not say.",
        ),
        click.option(
            "--hosts",
            "hosts_file",
            type=PathType(dir_okay=False, exists=True, path_type=Path),
            metavar="FILE",
            help="Start it by ssh on these hosts, one a line; this one is among them.",
        ),
        click.option(
            "--cluster", is_flag=True, help="One rank of several, started by mpirun or srun."
        ),
    ):
        function = option(function)
    return function


def find_job(
    *, cluster: bool, hosts_file: Path | None, rendezvous: str | None, timeout: float, engine: str
) -> tuple[Job | None, dict[str, str]]:
    """Return how a command is spread over hosts, None for not at all, and its environment.

    Raises:
        SetupError: How can't be told.
        InterpreterError: The engine asked for trains on one host only.
    """
    environment = dict(os.environ)
    if not (cluster or hosts_file):
        if rendezvous:
            raise click.UsageError("--rendezvous requires --cluster or --hosts")
        return None, environment
    from mfn_patcher.cluster.job import find_job as find
    from mfn_patcher.cluster.roles import without_role_variables
    from mfn_patcher.engine.devices import refusal

    if refused := refusal(engine, distributed=True):
        raise refused
    environment = without_role_variables(environment)
    return find(environment, hosts_file, rendezvous, timeout), environment


class KeepsArguments(click.Command):
    """Keeps its arguments as they were given, to start the same command on another host."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep them before they are taken apart."""
        ctx.meta[self.key] = [str(ctx.info_name), *_without_hosts(args)]
        return super().parse_args(ctx, args)

    key = "mfn_patcher.arguments"


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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def find_project(project: Path | None, *, writable: bool = False) -> Path:
    """Return the folder of `project`, or the one that comes with the tool, as `project_root` does.

    What a killed command left half written in it is finished first.
    """
    from mfn_patcher.patching.draft import recover

    root = project_root(project, writable=writable)
    recover(root, report)
    return root


def load_project_series(project: Path | None, *, writable: bool = False) -> Series:
    """Return the series of `project`, or of the tool's own; `writable` to write patches anew."""
    from mfn_patcher.patching.series import load_series

    return load_series(find_project(project, writable=writable))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> None:
    """Print columns on standard output, as wide as they are; nothing is cut or wrapped.

    Args:
        header: Names of the columns; in a terminal they are underlined.
        rows: Cells, styled or not.
        right: Which columns are aligned at the right: ``x`` for those, by position.
    """
    from rich.cells import cell_len

    lines = [tuple(header), *map(tuple, rows)]
    lines = [tuple(map(as_cell, line)) for line in lines]
    widths = [max(cell_len(unstyle(cell)) for cell in column) for column in zip(*lines)]
    for number, line in enumerate(lines):
        cells = []
        for position, (cell, width) in enumerate(zip(line, widths)):
            space = " " * (width - cell_len(unstyle(cell)))
            text = style(cell, underline=True) if not number and cell else cell
            cells.append(space + text if right[position : position + 1] == "x" else text + space)
        echo("  ".join(cells).rstrip())


def print_findings(findings: Iterable[Finding]) -> None:
    """Print a line a finding, and its remedy below."""
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    for finding in findings:
        word = finding.level.value
        level = style(f"{word:<8}", fg=colours[word], bold=True)
        echo(f"{level}{finding.check}: {finding.detail}")
        if finding.remedy:
            echo(f"{'':8}{as_typed(finding.remedy)}")


def report(line: str) -> None:
    """Tell what is going on, on standard error, so that standard output stays for results."""
    _LOG.info("%s", line)


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
