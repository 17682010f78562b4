"""Commands whose help has the same parts everywhere: usage, description, options, examples."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from mfn_patcher.cli.terminal import show_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def _set_verbosity(_: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        show_log(logging.DEBUG if option.name == "verbose" else logging.WARNING)


_VERBOSITY = (
    click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Log details, such as each git command, to stderr.",
    ),
    click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbosity,
        help="Log warnings only.",
    ),
)


class Command(click.Command):
    """A command that logs as ``-v`` and ``-q`` say, and whose help ends with examples.

    Args:
        examples: command lines, as the user would type them; at least one.
        sections: names of parameters by the title of their section in the help; options that are
            in none come last. Without sections, there is one list of options.
        settings: as for `click.Command`.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str],
        sections: Mapping[str, Sequence[str]] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(_VERBOSITY)
        self.examples = examples
        self.sections = sections

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; where one is missing, say what it is and give an example."""
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            missing = error.param
            if missing is None or missing.type.get_missing_message(missing, ctx):
                raise
            help_text = missing.help if isinstance(missing, click.Option) else None
            texts = (help_text, f"Example: {self.examples[0]}")
            message = " ".join(filter(None, texts))
            raise click.MissingParameter(message, ctx=error.ctx, param=missing) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, by section if the command has sections."""
        if self.sections is None:
            super().format_options(ctx, formatter)
            return
        records = {
            str(each.name): record
            for each in self.get_params(ctx)
            if isinstance(each, click.Option) and (record := each.get_help_record(ctx))
        }
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in names])
        with formatter.section("Other options"):
            formatter.write_dl(list(records.values()))

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


class Group(click.Group):
    """A group of such commands; its help lists them in order, with the first example of each."""

    command_class = Command

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names in the order of the definitions; click sorts them."""
        return list(self.commands)

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        commands = self.commands.values()
        first = (each.examples[0] for each in commands if isinstance(each, Command))
        write_examples(formatter, first)


def write_examples(formatter: click.HelpFormatter, examples: Iterable[str]) -> None:
    """Write command lines as they are, unlike `click.HelpFormatter.write_text`, which wraps."""
    with formatter.section("Examples"):
        for line in examples:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
