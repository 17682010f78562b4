"""What the site shows that is no page in ``docs/``: files of the repository, and all help.

MkDocs calls the functions named ``on_...``. A page keeps the links that work on GitHub; here those
that leave ``docs/`` are made to lead to the pages of the site, or to the repository.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from mfn_patcher.cli import cli
from mfn_patcher.cli.command import Command

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[2]

# Pages of the site by the file of the repository that they show.
_PAGES = {
    "README.md": "index.md",
    "README.zh.md": "zh.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>(?!https?:|#)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    for source, page in _PAGES.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "help.md", content=help_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the links and tables of a page what they are on GitHub."""
    sources = {shown: source for source, shown in _PAGES.items()}
    path = page.file.src_uri
    source = sources.get(path, f"docs/{path}")

    def follow(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        shown = _PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(shown):
            return f"[{link['text']}]({shown}{link['anchor'] or ''})"
        if not (_ROOT / target).exists():
            raise PluginError(f"{source} links to {link['path']}, which does not exist")
        # A build outside the repository's host does not know the address.
        address = f"{config.repo_url}/blob/main/{target}" if config.repo_url else ""
        return f"[{link['text']}]({address})" if address else link["text"]

    # In a table, GitHub needs a backslash before a | in code; Python-Markdown would show it.
    markdown = re.sub(
        r"^\|.*", lambda row: row[0].replace(r"\|", "|"), markdown, flags=re.MULTILINE
    )
    return _LINK.sub(follow, markdown)


def help_page() -> str:
    """Return the page with the help of every command, as Markdown."""
    context = click.Context(cli, info_name="mfn-patch", **cli.context_settings)
    return "\n\n".join(["# Help of every command", *_of_group(cli, context)]) + "\n"


def _of_group(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _of_group(command, click.Context(command, context, name))
        elif isinstance(command, Command):
            yield from _of_command(command, click.Context(command, context, name))


def _of_command(command: Command, context: click.Context) -> Iterator[str]:
    path = context.command_path
    yield f"## {path.removeprefix('mfn-patch ')}"
    yield _block([" ".join([path, *command.collect_usage_pieces(context)])])
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        # click keeps the lines of a paragraph that begins with \b.
        kept = paragraph.removeprefix("\b\n")
        yield paragraph if kept == paragraph else _block(kept.splitlines())
    records = [each.get_help_record(context) for each in command.get_params(context)]
    rows = [f"| `{option}` | {text} |" for option, text in filter(None, records)]
    yield "\n".join(["| option | what it does |", "|---|---|", *rows])
    yield _block(command.examples)


def _block(lines: Iterable[str]) -> str:
    return "\n".join(["```", *lines, "```"])
