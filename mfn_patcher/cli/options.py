"""Options and output helpers that commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfn_patcher.cli import completion
from mfn_patcher.cli.terminal import as_cell, echo, style, unstyle
from mfn_patcher.engine import AUTO, CHOICES
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.recipes import DEFAULT
from mfn_patcher.remedies import as_typed
from mfn_patcher.trainer.mfn_trainer.precision import FP32, PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mfn_patcher.finding import Finding
    from mfn_patcher.patching.address import Address
    from mfn_patcher.patching.series import Series

    _NumberType = click.ParamType[float]
else:
    _NumberType = click.ParamType  # not generic in older versions

_Function = TypeVar("_Function", bound=Callable[..., Any])


class PathType(click.Path):
    """A non-empty `Path`; Python would take an empty one for the current folder."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Refuse an empty path, such as an unset shell variable leaves."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class AbsolutePath(PathType):
    """A path relative to the current folder, made absolute, for use in another folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Return the absolute path."""
        from mfn_patcher.files import absolute

        return Path(absolute(Path(str(super().convert(value, param, ctx))), Path.cwd()))


class Number(_NumberType):
    """A number within a range that the help does not spell out."""

    def __init__(self, allowed: click.IntRange | click.FloatRange) -> None:
        self._allowed = allowed
        self.name = allowed.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        return self._allowed.convert(value, param, ctx)


def workspace_option(function: _Function) -> _Function:
    """Add ``-w/--workspace``, passed as `workspace`."""
    return click.option(
        "-w",
        "--workspace",
        type=PathType(file_okay=False),
        callback=_or_default_workspace,
        envvar="MFN_PATCH_WORKSPACE",
        metavar="DIR",
        help="Patched clone.  [default: upstream's name]",
    )(function)


def _or_default_workspace(
    context: click.Context, _parameter: click.Parameter, given: Path | None
) -> Path:
    """Return the workspace that the user names, or the folder that is named as upstream."""
    from mfn_patcher.patching.project import project_root, read_upstream

    if given:
        if "project" in context.params and not context.params["project"]:
            _refuse_another_projects(given)
        return given
    try:
        return Path(read_upstream(project_root(context.params.get("project"))).name)
    except MfnPatchError:
        if context.resilient_parsing:  # a shell that completes words cannot show errors
            return Path("upstream")
        raise


def _refuse_another_projects(workspace: Path) -> None:
    """Refuse a workspace inside another project than the one that the command would use."""
    from mfn_patcher.patching.project import is_project, project_root

    around, root = workspace.resolve().parent, project_root()
    if is_project(around) and around != root.resolve():
        raise click.BadParameter(
            f"{workspace} belongs to the project {around}, not to {root}: change to that folder, "
            "or name it with --project."
        )


def project_option(function: _Function) -> _Function:
    """Add ``--project``, passed as `project`."""
    return click.option(
        "--project",
        is_eager=True,  # the default workspace depends on it
        type=PathType(file_okay=False, exists=True),
        envvar="MFN_PATCH_PROJECT",
        metavar="DIR",
        help="Project folder.  [default: this one, or built-in]",
    )(function)


def upstream_option(function: _Function) -> _Function:
    """Add ``--upstream``, passed as `address`; None means the address of the project."""
    return click.option(
        "--upstream",
        "address",
        envvar="MFN_PATCH_UPSTREAM",
        metavar="ADDRESS",
        callback=_resolved,
        help="URL or clone of upstream.  [default: in upstream.toml]",
    )(function)


def _resolved(
    _context: click.Context, _parameter: click.Parameter, given: str | None
) -> Address | None:
    from mfn_patcher.patching.project import resolve_address

    return None if given is None else resolve_address(given)


def output_option(
    description: str, *names: str, suffixes: Sequence[str], metavar: str = "PATH"
) -> Callable[[_Function], _Function]:
    """Add an option for a file to write, and ``--overwrite``.

    Another suffix, or a folder that does not exist, is a usage error. The command passes both
    values to `mfn_patcher.files.require_new` before its work starts.

    Args:
        description: help of the option.
        names: names of the option; by default ``-o`` and ``--output``.
        suffixes: suffixes that the file may have.
        metavar: what the help calls the file.
    """

    def check(
        _context: click.Context, _parameter: click.Parameter, path: Path | None
    ) -> Path | None:
        if path and path.suffix not in suffixes:
            raise click.UsageError(f"{path} must end in {' or '.join(suffixes)}")
        if path and not path.absolute().parent.is_dir():
            raise click.BadParameter(f"folder {path.absolute().parent} does not exist")
        return path

    output = click.option(
        *(names or ("-o", "--output")),
        type=PathType(dir_okay=False),
        callback=check,
        metavar=metavar,
        help=description,
    )
    overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing file.")
    return lambda function: output(overwrite(function))


python_option = click.option(
    "--python",
    metavar="PYTHON",
    help="Training interpreter.  [default: this one]",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(CHOICES),
    default=AUTO,
    metavar="NAME",
    help="Engine: auto, mxnet or torch.  [default: auto]",
)
gpus_option = click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1.")
cpu_option = click.option("--cpu", is_flag=True, help="Compute on the CPU.")
data_dir_option = click.option(
    "--data-dir",
    type=AbsolutePath(file_okay=False),
    metavar="DIR",
    help="Folder of the data set.  [default: recipe]",
)
models_dir_option = click.option(
    "--models-dir",
    type=AbsolutePath(file_okay=False),
    metavar="DIR",
    help="Folder for checkpoints.  [default: recipe]",
)
batch_size_option = click.option(
    "--batch-size",
    type=Number(click.IntRange(min=1)),
    metavar="N",
    help="Images per step, all GPUs.  [default: recipe]",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=FP32,
    show_default=True,
    help="Precision of the network.",
)
recipe_option = click.option(
    "--recipe",
    "recipe_name",
    default=DEFAULT,
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=completion.recipes,
    help="Recipe name or file.",
)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def find_project(project: Path | None, *, writable: bool = False) -> Path:
    """Return the project's folder, as `project_root` does, after finishing interrupted changes."""
    from mfn_patcher.patching.draft import recover
    from mfn_patcher.patching.project import project_root

    root = project_root(project, writable=writable)
    recover(root)
    return root


def load_project_series(project: Path | None, *, writable: bool = False) -> Series:
    """Return the series of the project that `find_project` finds."""
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
    """Print a line per finding, and below it its remedy, or below the last that has the same."""
    colours = {"ok": "green", "warning": "yellow", "failed": "red"}
    listed = list(findings)
    for finding, following in zip_longest(listed, listed[1:]):
        word = finding.level.value
        level = style(f"{word:<8}", fg=colours[word], bold=True)
        echo(f"{level}{finding.check}: {finding.detail}")
        if finding.remedy and not (following and following.remedy == finding.remedy):
            echo(f"{'':8}{as_typed(finding.remedy)}")
