"""A program on a terminal, and what the terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte


class Screen(pyte.Screen):
    """A screen that counts the lines that are too long for it."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.wrapped: list[str] = []

    def draw(self, data: str) -> None:
        for character in data:
            if self.cursor.x == self.columns:
                self.wrapped.append(self.display[self.cursor.y])
            super().draw(character)


class Terminal:
    """A pseudo-terminal, and the program that runs on it as its foreground process.

    Args:
        command: the program and its arguments.
        columns: width of the terminal.
        rows: its height.
        environment: variables to set.
        folder: working directory; by default this process's.
    """

    def __init__(
        self,
        command: Sequence[str],
        columns: int,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.screen = Screen(columns, rows)
        self.written = b""
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._terminal, other = pty.openpty()
        self._set_size(columns, rows)
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            # It controls the terminal, which then sends it SIGWINCH and SIGINT.
            ["setsid", "--ctty", *command],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=folder,
            env={**inherited, "TERM": "xterm-256color", **(environment or {})},
        )
        os.close(other)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join(5)
        os.close(self._terminal)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._terminal, 1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.written += data
                self._stream.feed(data)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int = 24) -> None:
        """Change the size, as dragging the edge of a window does."""
        with self._lock:
            self._set_size(columns, rows)
            self.screen.resize(rows, columns)

    def press(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self._terminal, keys)

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without empty ones at the end."""
        with self._lock:
            lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        """The lines on the screen as one text."""
        return "\n".join(self.lines)

    @property
    def wrapped(self) -> list[str]:
        """The lines that were too long."""
        with self._lock:
            return list(self.screen.wrapped)

    @property
    def cursor_is_hidden(self) -> bool:
        """Whether the cursor is invisible."""
        with self._lock:
            return bool(self.screen.cursor.hidden)

    def wait_for(self, true: Callable[[], object], seconds: float = 60) -> None:
        """Wait until a condition holds; fail if it does not in time."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.text
            time.sleep(0.02)

    def wait(self, seconds: float = 60) -> int:
        """Return the exit status of the program, once all its output is on the screen."""
        status = self.process.wait(seconds)
        self._thread.join(5)
        return status
