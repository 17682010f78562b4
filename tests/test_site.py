"""The documentation as a site: it builds without a warning, and shows what GitHub shows."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from mfn_patcher.cli.command import Command
from tests.cli.test_help import COMMANDS
from tests.support.repositories import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed here"
    ),
]

ADDRESS = "https://host.invalid/owner/mfn-patch"


_VERBATIM = ("code", "pre", "script")


class Parsed(HTMLParser):
    """What a page of the site contains.

    Attributes:
        links: where it leads.
        loaded: what a browser loads with it.
        anchors: where links can lead to in it.
        items: number of list items in its text at each level.
        text: its text, code apart.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.items: Counter[int] = Counter()
        self.text = ""
        self._within: list[str] = []
        self._article = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._article = self._article or tag == "article"
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])
        if self._article and tag == "li":
            self.items[self._within.count("li")] += 1
        if tag in ("li", *_VERBATIM):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._article = False
        if tag in ("li", *_VERBATIM):
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if self._article and not set(_VERBATIM) & set(self._within):
            self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as the repository's host builds it."""
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={"PATH": "", "REPOSITORY_URL": ADDRESS, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parsed]:
    return {path: Parsed(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Parsed]) -> None:
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":  # whose links start at the host's root
            continue
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target in pages:
                anchor = unquote(parts.fragment)
                assert anchor in pages[target].anchors, f"{path.relative_to(site)}: {link}"
            checked += 1
    assert checked > 500


def test_links_into_the_repository_lead_to_its_files(pages: dict[Path, Parsed]) -> None:
    linked = {
        link.removeprefix(f"{ADDRESS}/blob/main/")
        for page in pages.values()
        for link in page.links
        if link.startswith(f"{ADDRESS}/")
    }
    assert "tests/data/test_pixels.py" in linked
    assert "LICENSE" in linked
    for path in linked:
        assert (ROOT / path).exists(), path


def test_nothing_is_loaded_from_another_host(pages: dict[Path, Parsed]) -> None:
    for page in pages.values():
        assert page.loaded
        assert not [link for link in page.loaded if urlsplit(link).netloc]


def markdown_pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each page in the site, and its text without blocks of code."""
    for path in (ROOT / "docs").glob("*.md"):
        yield path.stem, path.read_text(encoding="utf-8")
    for name, page in (("README", "."), ("README.zh", "zh"), ("CHANGELOG", "changelog")):
        yield page, (ROOT / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "text"), [*markdown_pages()], ids=lambda value: value[:12])
def test_lists_and_tables_are_those_that_github_shows(
    site: Path, pages: dict[Path, Parsed], name: str, text: str
) -> None:
    html = (site / name / "index.html").read_text(encoding="utf-8")
    page = pages[site / name / "index.html"]
    text = re.sub(r"^[> ]*```.*?^[> ]*```", "", text, flags=re.MULTILINE | re.DOTALL)
    items = re.findall(r"^(?:> )?( *)(?:[-*]|\d+\.) +\S", text, re.MULTILINE)
    # A nested list starts below the text of its item, and the site needs four spaces.
    assert page.items == Counter(bool(indent) for indent in items)
    assert not re.search(r"\n\s*\|.*\|", page.text), "a table was not recognised"
    assert "**" not in page.text
    assert "](" not in page.text
    assert not re.search(r":[a-z]+:", page.text), "an emoji was not recognised"
    # In a table, GitHub wants a backslash before a | in code and does not show it.
    assert r"\|" not in re.sub(r"(?s)<pre>.*?</pre>", "", html)


def test_the_help_of_every_command_is_there(site: Path, pages: dict[Path, Parsed]) -> None:
    page = pages[site / "help" / "index.html"]
    html = (site / "help" / "index.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", html).replace("&gt;", ">").replace("&amp;", "&")
    shown = shown.replace("&quot;", '"').replace("&lt;", "<")
    for name, command in COMMANDS.items():
        assert name.replace(" ", "-") in page.anchors
        assert isinstance(command, Command)
        for example in command.examples:
            assert example in shown
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.opts[-1] in shown
    assert "\b" not in html
