"""Make the pictures of the README from a real training, at toy scale, in some minutes.

    .venv/bin/python docs/pictures/capture.py

``train.svg`` is what a terminal shows of ``mfn-patch train``, and ``report.png`` the first screen
of ``mfn-patch report``. A test compares what they name with what is drawn today.
"""

from __future__ import annotations

import io
import itertools
import re
import shlex
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image, PngImagePlugin
from playwright.sync_api import sync_playwright
from pyte.screens import Char
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1])]

from tests.support.browser import ARGUMENTS, CHROMIUM  # noqa: E402
from tests.support.screen import Terminal  # noqa: E402

TOOL = [sys.executable, "-m", "mfn_patcher"]
COMMAND = """mfn-patch train --stage 2 --cpu --engine torch --data-dir faces \\
    --batch-size 4 --max-steps 60 --checkpoint-every 20 -- --lr 0.02"""
COLUMNS = 84
MOST_BYTES = 200_000
NAMES = "names"
"""Key of the names in ``report.png``."""


class NamesOfPage(HTMLParser):
    """The names on a page: its headings, the terms of the summary, columns and diagrams.

    Attributes:
        names: the names, in order.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self._section = ""
        self._folded = 0
        self._is_name = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where the parser is, and take the name of a diagram."""
        values = dict(attrs)
        if tag == "section":
            self._section = values.get("aria-labelledby") or ""
        self._folded += tag == "details"
        column = tag == "th" and values.get("scope") == "col" and not self._folded
        self._is_name = tag == "h2" or column or (tag == "dt" and self._section == "summary")
        if values.get("role") == "img":
            self.names.append(values.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        """Note where the parser is."""
        self._folded -= tag == "details"
        self._is_name = False

    def handle_data(self, data: str) -> None:
        """Take a name."""
        if self._is_name:
            self.names.append(data)


def words_of(text: str) -> set[str]:
    """Return the words in a display, without its numbers and the name of the run."""
    text = re.sub(r"\S*-stage2-softmax\S*|\S*\.params", "", text)
    return set(re.findall(r"[a-z][a-z_/]*[a-z]", text, re.IGNORECASE))


def words_of_picture(svg: str) -> set[str]:
    """Return the words that ``train.svg`` shows below the command."""
    lines: dict[float, str] = {}
    for y, text in re.findall(r'<text [^>]* y="([\d.]+)"[^>]*>(.*?)</text>', svg):
        lines[float(y)] = lines.get(float(y), "") + text.replace("&#160;", " ") + " "
    shown = " ".join(lines[y] for y in sorted(lines))
    return words_of(shown[shown.index("stage 2 (") :])


def as_text(terminal: Terminal) -> Text:
    """Return what a terminal shows, from the display on, below the command."""
    screen, shown = terminal.screen, terminal.lines
    first = next(number for number, line in enumerate(shown) if line.startswith("stage 2"))
    text = Text(f"$ {COMMAND}\n")
    for row in range(first, len(shown)):
        cells = [screen.buffer[row][column] for column in range(len(shown[row]))]
        for style, group in itertools.groupby(cells, _style_of):
            text.append("".join(cell.data for cell in group), style)
        text.append("\n")
    return text


def _style_of(cell: Char) -> Style:
    colour = f"#{cell.fg}" if re.fullmatch("[0-9a-f]{6}", cell.fg) else None
    return Style(color=colour, bold=cell.bold)


def draw_terminal(text: Text) -> str:
    """Return a picture of a terminal as SVG, which loads nothing."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(text, no_wrap=True, end="")
    theme = TerminalTheme((22, 27, 34), (230, 237, 243), [(48, 54, 61)] * 8)
    plain = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="mfn-patch", theme=theme, code_format=plain, unique_id="t")
    return re.sub(r"[ \t]+\n|\n\s*\n", "\n", svg)


def train(folder: Path) -> str:
    """Train at toy scale in a terminal; return its picture near the end."""
    for arguments in (["apply"], ["data", "synth", "faces", "--identities", "6"]):
        subprocess.run([*TOOL, *arguments], check=True, cwd=folder)
    command = [*TOOL, *shlex.split(COMMAND.replace("\\\n", ""))[1:]]
    with Terminal(command, COLUMNS, 60, folder=folder) as terminal:
        while not re.search(r"^step (4[5-9]|5\d) of", terminal.text, re.MULTILINE):
            if terminal.process.poll() is not None:
                raise SystemExit(terminal.text)
            time.sleep(0.1)
        picture = draw_terminal(as_text(terminal))
        if terminal.wait(1800):
            raise SystemExit(terminal.text)
    return picture


def photograph(page: Path, picture: Path) -> None:
    """Write the first screen of a report, with the names on the page as a comment."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        view = browser.new_page(viewport={"width": 1000, "height": 1200}, color_scheme="light")
        view.goto(page.as_uri())
        view.screenshot(path=picture)
        browser.close()
    information = PngImagePlugin.PngInfo()
    names = NamesOfPage(page.read_text(encoding="utf-8")).names
    information.add_itxt(NAMES, "\n".join(names))
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(picture, optimize=True, pnginfo=information)


def main() -> None:
    """Make both pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        svg = train(folder)
        page = folder / "report.html"
        models = "insightface/models/MobileFaceNet/model-y1-softmax"
        evaluate = ["eval", "--model", models, "--cpu", "--engine", "torch"]
        subprocess.run([*TOOL, *evaluate], check=True, cwd=folder)
        subprocess.run([*TOOL, "report", "last", "-o", page], check=True, cwd=folder)
        photograph(page, HERE / "report.png")
    (HERE / "train.svg").write_text(svg, encoding="utf-8")
    for picture in (HERE / "train.svg", HERE / "report.png"):
        size = picture.stat().st_size
        print(f"{picture}: {size:,} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"{picture} is too large for a README")


if __name__ == "__main__":
    main()
