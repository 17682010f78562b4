"""The page about a run: what is in it, and how a browser shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mfn_patcher.errors import ExitCode
from mfn_patcher.runs import rates
from mfn_patcher.runs.code import AppliedPatch
from mfn_patcher.runs.rates import Rate
from mfn_patcher.runs.report import render
from mfn_patcher.runs.store import find
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.runs import LATIN_1, SAMPLE, SAMPLE_WITH_LOSS, WHOLE, make_run
from tests.support.tool import Tool

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = "<script>alert(1)</script><img src='http://example.invalid/x' onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "use", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_run(tmp_path, "20260101T000000-stage2-softmax", log=SAMPLE_WITH_LOSS)
    return tmp_path


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    entry = dataclasses.replace(
        WHOLE,
        name=EVIL,
        shell_line=f"python train_softmax.py --prefix {EVIL}",
        environment={EVIL: EVIL},
        versions={EVIL: EVIL},
        patches=(AppliedPatch(EVIL, EVIL, EVIL),),
        data_dir=EVIL,
        start=EVIL,
        prefix=EVIL,
        edited=True,
    )
    log = (
        SAMPLE.read_text()
        .replace("[lfw]", "[<script>x&]")
        .replace("target='lfw,cfp_fp,agedb_30'", f"target={EVIL!r}")
    )
    folder = make_run(tmp_path, "20260101T000000-stage2-softmax", entry, log.encode())
    (folder / "edits.patch").write_bytes(b"+ " + EVIL.encode() + b"\xff\n")
    rates.append([Rate(EVIL, 1, EVIL, EVIL, 0.5, 0.001, 0.1, 0.5, 0.1, 10)], folder)
    return tmp_path


def page(workspace: Path) -> str:
    return render(find(workspace, "last"))


def test_own_sets_are_not_compared_with_published_results(tmp_path: Path) -> None:
    log = SAMPLE_WITH_LOSS
    for name in (b"lfw", b"cfp_fp", b"agedb_30"):
        log = log.replace(b"[" + name + b"]", b"[own_" + name + b"]")
    make_run(tmp_path, "20260101T000000-stage2-softmax", log=log)
    text = page(tmp_path)
    assert "own_lfw" in text
    assert "not comparable" not in text
    assert "ublished" not in text


def test_deviations_are_not_rounded_twice(tmp_path: Path) -> None:
    log = SAMPLE.read_bytes().replace(b"+-0.22913", b"+-0.24495")
    make_run(tmp_path, "20260101T000000-stage2-softmax", log=log)
    text = page(tmp_path)
    assert "85.00 ± 24.495" in text
    assert "24.50" not in text


def test_all_that_it_should_tell(workspace: Path) -> None:
    text = page(workspace)
    for part in (
        "Stage 2 (softmax)",
        "recipe/0001-x.patch",
        "c" * 12,
        "b" * 40,
        "d" * 64,
        WHOLE.shell_line,
        "OMP_NUM_THREADS",
        "lr_steps=700,1500",
        "60.00 ± 37.42",
        "<dd>2,100 of 2,100; 512 images per step</dd>",
        "98.78",
        "log of stage 2",
        "0.005 from step 700",
        "they are not comparable",
        "Training loss",
        "Published: 98.78 log of stage 2",
        "<summary>1 patch</summary>",
    ):
        assert part in text, part
    tags = Tags(text)
    assert tags.open == []
    names = [tag for tag, _ in tags.tags]
    assert names.count("svg") == 6
    assert "script" not in names
    assert (names.count("h1"), names.count("main")) == (1, 1)
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_everything_is_escaped(evil: Path) -> None:
    text = page(evil)
    tags = Tags(text)
    assert not {tag for tag, _ in tags.tags} & {"script", "img", "b"}
    assert "&lt;script&gt;alert(1)" in text
    for _, attributes in tags.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")


def test_records_of_an_older_version_and_runs_without_results(tmp_path: Path, tool: Tool) -> None:
    folder = make_run(tmp_path, "20260101T000000-stage2-softmax", log=b"no such option\n")
    (folder / "run.json").write_text('{"stage": 2, "name": "softmax", "outcome": "failed"}')
    assert "contains nothing about training" in page(tmp_path)
    assert tool("report", "last", "-w", tmp_path).code == 0


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    log = SAMPLE.read_bytes() + (
        b"[lfw][2500]XNorm: nan\n[lfw][2500]Accuracy-Flip: 0.50000+-0.00000\n"
        b"Traceback (most recent call last):\nValueError: Input contains NaN\n"
    )
    make_run(tmp_path, "20260101T000000-stage2-softmax", log=log)
    text = page(tmp_path)
    assert "xnorm of lfw was nan at step 2,500" in text
    assert "ValueError: Input contains NaN" in text


def test_paths_that_are_not_utf_8(tmp_path: Path, tool: Tool) -> None:
    make_run(tmp_path, "20260101T000000-x", LATIN_1)
    ran = tool("report", "last", "-w", tmp_path)
    assert ran.code == 0, ran.err
    assert r"/w/donn\udce9es" in Path(ran.out.rstrip()).read_text()


def test_files(workspace: Path, tool: Tool) -> None:
    ran = tool("report", "last", "-w", workspace)
    written = workspace / "runs" / "20260101T000000-stage2-softmax" / "report.html"
    assert (ran.code, ran.out) == (0, f"{written}\n")
    assert tool("report", "last", "-w", workspace).code == 0
    assert tool("report", "last", "-w", workspace, "-o", "x.txt").code == ExitCode.USAGE
    assert tool("report", "last", "-w", workspace, "-o", workspace / "x.html").code == 0
    assert (workspace / "x.html").read_text() == written.read_text()

    (workspace / "x.html").write_text("mine")
    refused = tool("report", "last", "-w", workspace, "-o", workspace / "x.html")
    assert (refused.code, "x.html already exists" in refused.err) == (ExitCode.ERROR, True)
    assert (workspace / "x.html").read_text() == "mine"
    to_mine = ("-o", workspace / "x.html", "--overwrite")
    assert tool("report", "last", "-w", workspace, *to_mine).code == 0
    assert (workspace / "x.html").read_text() == written.read_text()


# -- in a browser ---------------------------------------------------------------------------

# The contrast of each text that can be seen, by the rule of WCAG 2; and how wide all is.
LOOK = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = parse(c).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c)) return c;
    }
    return "rgb(255, 255, 255)";
  };
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const contrasts = [], wide = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || e.closest("style, defs")) continue;
    const style = getComputedStyle(e);
    const ink = light(e.closest("svg") ? style.fill : style.color);
    const behind = light(ground(e));
    const ratio = (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05);
    contrasts.push([ratio, walker.currentNode.textContent.trim().slice(0, 40)]);
  }
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("svg") && e.tagName !== "svg") continue;
    const inside = e.parentElement.closest(".scroll");
    if (!inside && e.getBoundingClientRect().right > innerWidth + 1) wide.push(e.tagName);
  }
  const curve = getComputedStyle(document.querySelector("svg path[style*='--curve']")).stroke;
  const body = light(ground(document.body)), drawn = light(curve);
  const text = document.querySelector("svg text").getBoundingClientRect();
  return {
    contrasts, wide,
    curve: (Math.max(body, drawn) + 0.05) / (Math.min(body, drawn) + 0.05),
    width: document.documentElement.scrollWidth,
    texts: document.querySelectorAll("svg text").length,
    textHeight: text.height,
    scripts: document.scripts.length,
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to look at reports with: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


def look(browser: Browser, file: Path, width: int, scheme: Any) -> dict[str, Any]:
    """Return what a browser shows of a page, and all that the page asks for or complains of."""
    view = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests: list[str] = []
    complaints: list[str] = []
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: complaints.append(message.text))
    view.on("dialog", lambda dialog: complaints.append(dialog.message))
    view.goto(file.as_uri())
    seen: dict[str, Any] = view.evaluate(LOOK)
    view.close()
    return {**seen, "requests": requests, "complaints": complaints}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_in_a_browser(browser: Browser, evil: Path, tool: Tool, width: int, scheme: str) -> None:
    make_run(evil, "20260102T000000-stage2-softmax", dataclasses.replace(WHOLE, edited=True))
    for name in ("20260101", "20260102"):
        file = evil / f"{name}.html"
        assert tool("report", name, "-w", evil, "-o", file).code == 0
        seen = look(browser, file, width, scheme)
        assert seen["requests"] == [file.as_uri()]
        assert seen["complaints"] == []
        assert seen["scripts"] == 0
        assert (seen["width"], seen["wide"]) == (width, [])
        assert len(seen["contrasts"]) > 100
        assert [entry for entry in seen["contrasts"] if entry[0] < 4.5] == []
        assert seen["curve"] >= 3  # what WCAG asks of graphics
        assert seen["texts"] > 20
        assert seen["textHeight"] >= 11
