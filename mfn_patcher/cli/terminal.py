"""Output of all commands: our own styles pass, other control characters are escaped."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import re
import sys
from typing import TYPE_CHECKING

import click

from mfn_patcher.printable import UNSAFE, json_text, visible
from mfn_patcher.remedies import as_typed

if TYPE_CHECKING:
    from typing import Any, TextIO

# Marks our own escape sequences; nothing outside this process knows the mark.
_MARK = f"\x1b{os.urandom(8).hex()}"
_UNSAFE = re.compile(f"(?!{_MARK})[{UNSAFE}]")
_ENCODING = "mfn_patch_terminal"  # among Python's -X options


def can_redraw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal on which lines can be drawn again."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def style(text: str, **styles: Any) -> str:
    """Return `text` with the styles of `click.style`; only `echo` can write it."""
    return click.style(_visible(text), **styles).replace("\x1b[", f"{_MARK}[")


def unstyle(text: str) -> str:
    """Return what `echo` shows of `text`, without styles."""
    return click.unstyle(_visible(text).replace(_MARK, "\x1b"))


def as_cell(text: str) -> str:
    """Return `text`, styled or not, on one line and safe to `echo`, for a table cell."""
    return _visible(text).replace("\t", r"\t").replace("\n", r"\n")


def complain(message: str, remedy: str = "") -> None:
    """Write an error and what to do about it to standard error."""
    text = f"mfn-patch: {message}" + (f"\n{remedy}" if remedy else "")
    echo(as_typed(text), err=True)


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Write to standard output or, with `err`, to standard error, escaping unsafe characters."""
    stream = sys.stderr if err else sys.stdout
    # Where rich draws, it takes the place of a stream; click would write past it.
    file = stream if hasattr(stream, "rich_proxied_file") else None
    click.echo(_visible(str(text)).replace(_MARK, "\x1b"), file, err=err, nl=nl)


def echo_exactly(content: str | bytes) -> None:
    """Write a document, byte for byte unless standard output is a terminal."""
    if not sys.stdout.isatty():
        click.echo(content, nl=False)
        return
    text = content if isinstance(content, str) else content.decode(errors="surrogateescape")
    echo(text, nl=False)


def print_json(value: object) -> None:
    """Write `value` as JSON to standard output."""
    unicode = _is_utf8(sys.stdout.encoding or "")
    click.echo(json_text(value, ascii_only=not unicode))


class _LogHandler(logging.Handler):
    """Writes log records to standard error, one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.prefix = ""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        # A message that cannot be written, to a full disk or a reader that is gone, must not end a
        # training run.
        with contextlib.suppress(OSError):
            echo(f"mfn-patch: {level}{self.prefix}{as_typed(record.getMessage())}", err=True)


_HANDLER = _LogHandler()


def show_log(level: int) -> None:
    """Show what the tool's modules log from `level` on; standard output stays for results."""
    logger = logging.getLogger("mfn_patcher")
    logger.addHandler(_HANDLER)
    logger.setLevel(level)


def prefix_log(name: str) -> None:
    """Start each line of the log with a name, since several processes share the terminal."""
    _HANDLER.prefix = f"{name}: " if name else ""


def prepare() -> None:
    """Use UTF-8 for file names and contents, as git does, whatever the locale.

    If the locale has another encoding, Python is restarted in UTF-8 mode. Standard output and
    error keep the terminal's encoding; characters that it lacks are escaped.
    """
    options = sys._xoptions
    own = options.get(_ENCODING)
    if own is None and not sys.flags.utf8_mode and not _is_utf8(locale.getpreferredencoding(False)):
        encoding = getattr(sys.stdout or sys.stderr, "encoding", "ascii")
        python = [sys.executable, "-X", "utf8", "-X", f"{_ENCODING}={encoding}"]
        os.execv(sys.executable, [*python, *sys.orig_argv[1:]])  # noqa: S606
    for stream in filter(None, (sys.stdout, sys.stderr)):
        _reconfigure(stream, str(own) if own else None)


def _reconfigure(stream: TextIO, encoding: str | None) -> None:
    # A program that embeds this one may have replaced the streams.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(encoding=encoding, errors="backslashreplace")


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") == "utf8"


def _visible(text: str) -> str:
    return _UNSAFE.sub(lambda found: visible(found[0]), text)
