"""The command line. Each command is a module of its name that parses, calls and prints."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
import traceback
from pathlib import Path

import click
from click.exceptions import NoSuchCommand

from mfn_patcher.cli import completion
from mfn_patcher.cli.bars import show_bars
from mfn_patcher.cli.command import write_examples
from mfn_patcher.cli.terminal import complain, echo, prefix_log, prepare, show_log
from mfn_patcher.cli.version import print_version
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.remedies import COMMAND, command

# Errors of the machine rather than bugs of this program.
_ENVIRONMENT = {
    errno.EACCES: "Check its owner and permissions.",
    errno.EFBIG: "A limit of the file system, or that of `ulimit -f`, does not allow larger files.",
    errno.EIO: "The disk or its connection failed; `dmesg` may say more.",
    errno.EISDIR: "A folder is in the place of a file: move it away.",
    errno.ELOOP: "Symbolic links form a loop: remove one.",
    errno.ENOENT: "It was removed meanwhile, or its file system takes no new files, such as /proc.",
    errno.ENAMETOOLONG: "Choose a shorter name or path.",
    errno.ENOTDIR: "A file is in the place of a folder: move it away.",
    errno.EDQUOT: "Free some space and try again; nothing was lost.",
    errno.ENOSPC: "Free some space and try again; nothing was lost.",
    errno.EPERM: "Check its owner and permissions.",
    errno.EROFS: "Choose a writable folder, for example with --workspace.",
}


_SECTIONS = {
    "Getting started": ("demo", "init"),
    "Workspace": ("apply", "status", "diff", "revert"),
    "Patches": ("import", "new", "refresh", "rebase", "lint", "check"),
    "Training": ("doctor", "verify", "data", "recipes", "env", "train", "eval"),
    "Results": ("runs", "log", "plot", "report"),
    "Trained model": ("export", "embed", "compare", "bench"),
}
_EXAMPLES = (
    "mfn-patch demo",
    "mfn-patch init cups-patches --upstream https://github.com/OpenPrinting/cups.git --pin v2.4.2",
    "mfn-patch apply && mfn-patch train --stage all --data-dir /data/faces_ms1m_112x112",
    "mfn-patch check --against upstream",
)
# Commands whose name is a Python builtin, and the name of their module and function.
_MODULES = {"eval": "evaluate", "import": "import_patches"}


class _Commands(click.Group):
    """Imports a command's module only when it is needed, which keeps start-up fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in _SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"mfn_patcher.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            # click suggests only commands that are already imported.
            known = self.list_commands(ctx)
            raise NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - max(map(len, self.list_commands(ctx))) - 6
        for section, names in _SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, each.get_short_help_str(width)) for name, each in commands if each]
                )

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, _EXAMPLES)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show versions, as a bug report needs them, and exit.",
)
def cli() -> None:
    """Keep patches on a pinned upstream, and train MobileFaceNet with those on insightface."""


def main() -> None:
    """Run the command line and exit with the documented code."""
    _open_standard_streams()
    prepare()
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run the command line with `arguments` (default: the process's); return its exit code."""
    show_log(logging.INFO)
    prefix_log("")
    try:
        Path.cwd()
    except FileNotFoundError:
        complain("the current folder no longer exists", "Change to another folder and try again.")
        return ExitCode.ERROR
    try:
        name = command()
        if completion.VARIABLE in os.environ:
            # A shell completes the command by its name, however it was started.
            name = COMMAND
            completion.prepare()
        with show_bars():
            done = cli.main(
                arguments, name, complete_var=completion.VARIABLE, standalone_mode=False
            )
        return int(done or ExitCode.DONE)
    except MfnPatchError as error:
        complain(str(error), error.remedy)
        return error.exit_code
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        echo(shown.getvalue(), err=True, nl=False)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return ExitCode.INTERRUPTED
    except OSError as error:
        if error.errno == errno.ENOENT and error.filename is None:  # of `tempfile`
            complain(
                f"{error.strerror}", "Free some space there, or set TMPDIR to a writable folder."
            )
            return ExitCode.ERROR
        if error.errno not in _ENVIRONMENT:
            return _bug()
        complain(f"{error.filename or 'the disk'}: {error.strerror}", _ENVIRONMENT[error.errno])
        return ExitCode.ERROR
    except ImportError as error:
        return _import_failed(error)
    except Exception:
        return _bug()


def _open_standard_streams() -> None:
    """Open closed standard streams; the next file opened would otherwise take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The descriptor gets the lowest free number, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            stream = open(number, "r" if name == "stdin" else "w")  # noqa: SIM115, PTH123
            setattr(sys, name, stream)


def _import_failed(error: ImportError) -> int:
    if (error.name or "").startswith("mfn_patcher"):
        return _bug()
    # NumPy's text fills a screen and ends with the reason.
    reason = (str(error).strip().splitlines() or [repr(error)])[-1]
    remedy = "Install mfn-patch into a new virtual environment."
    if path := os.environ.get("PYTHONPATH"):
        remedy = f"Unset PYTHONPATH, which is {path}: its packages may be of another Python."
    complain(f"a package that mfn-patch requires cannot be imported: {reason}", remedy)
    return ExitCode.ERROR


def _bug() -> int:
    echo(traceback.format_exc(), err=True, nl=False)
    complain(
        "this is a bug in mfn-patch",
        "Please report it with the lines above and those of `mfn-patch --version`.",
    )
    return ExitCode.BUG
