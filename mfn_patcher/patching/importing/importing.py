"""Importing patches into a project, as the last of its series."""

from __future__ import annotations

import logging
import re
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching import draft, mail
from mfn_patcher.patching.chain import build_chain
from mfn_patcher.patching.edit import check_stack, diff_of_patch
from mfn_patcher.patching.git import Repository
from mfn_patcher.patching.importing.description import NO_ADDRESS, Description, describe
from mfn_patcher.patching.importing.scratch import DoesNotApplyError, Scratch, names_in
from mfn_patcher.patching.importing.sources import ImportingError, kind_of
from mfn_patcher.patching.patchfile import Header
from mfn_patcher.patching.project import SERIES
from mfn_patcher.patching.sparse import pattern_of
from mfn_patcher.patching.upstream import fetch_pin
from mfn_patcher.progress import task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mfn_patcher.patching.importing.sources import Source
    from mfn_patcher.patching.series import Series

_LOG = logging.getLogger(__name__)

_SUFFIX = re.compile(r"\.(?:patch|diff|dpatch|eml|mbox|txt)\Z", re.IGNORECASE)
_LONGEST = 60  # characters of a name


@dataclass(frozen=True)
class Imported:
    """A patch that was imported, or left out.

    Attributes:
        source: the name of its source.
        name: its name in the series; None if it changes nothing and was left out.
        remarks: what was settled: hunks that moved, and what its header did not say.
    """

    source: str
    name: str | None
    remarks: tuple[str, ...] = ()


def import_patches(
    series: Series,
    sources: Sequence[Source],
    stack: str,
    address: str,
    author: Callable[[], tuple[str, str]],
) -> list[Imported]:
    """Add patches to a project, in the tool's format, so that they apply exactly to its pin.

    Args:
        series: the project's series.
        sources: the patches, in order.
        stack: the stack that they become part of: a new one, or the last one.
        address: the address of upstream.
        author: returns name and address of the author of patches that do not name one.

    Raises:
        EditError: the stack's name is not valid.
        FetchError: the pin cannot be fetched.
        ImportingError: a patch does not apply, or contains what patches cannot express; nothing
            was changed.
    """
    check_stack(stack)
    if stack in series.stacks[:-1]:
        raise ImportingError(
            f"stack {stack} is not the last one of the series",
            remedy=f"Import into {series.stacks[-1]!r}, or into a new stack.",
        )
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        repository = Repository(Path(folder, "upstream"))
        repository.init()
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        described = [(source, *describe(repository, source)) for source in sources]
        _fetch(repository, series, address, [(source, diff) for source, _, diff in described])
        links = build_chain(repository, series, series.patches)
        tip = links[-1].commit if links else series.pin
        importer = _Importer(series, stack, Scratch(repository, scratch, tip), repository, author)
        imported = []
        with task("importing patches", len(described)) as importing:
            for each in described:
                imported.append(importer.add(*each))
                importing.advance()
            if importer.files:
                importer.install()
    return imported


def _fetch(
    repository: Repository, series: Series, address: str, diffs: Sequence[tuple[Source, bytes]]
) -> None:
    """Fetch the pin and the files that patches may change."""
    names = set(series.paths)
    for source, diff in diffs:
        names |= names_in(diff, source.strip)
    _LOG.info("fetching %s from %s", series.pin[:12], address)
    fetch_pin(repository, address, series.pin, tuple(map(pattern_of, sorted(names))))


class _Importer:
    """Makes patch files, one after another.

    Args:
        series: the project's series.
        stack: the stack.
        scratch: applies the patches.
        repository: the repository behind `scratch`.
        author: returns name and address of the author of patches that do not name one.

    Attributes:
        files: the contents of the patch files, by their names in the series.
    """

    def __init__(
        self,
        series: Series,
        stack: str,
        scratch: Scratch,
        repository: Repository,
        author: Callable[[], tuple[str, str]],
    ) -> None:
        self._series = series
        self._stack = stack
        self._scratch = scratch
        self._git = repository
        self._author = author
        self._before = sum(patch.stack == stack for patch in series.patches)
        self._lacking: list[str] = []
        self.files: dict[str, bytes] = {}

    def add(self, source: Source, said: Description, diff: bytes) -> Imported:
        """Apply a patch, and make its file."""
        kind = kind_of(source.name, diff)
        if not kind:
            return Imported(source.name, None)
        before = self._scratch.tree
        try:
            remarks = self._scratch.apply(source, diff, kind)
        except DoesNotApplyError as error:
            error.remedy = self._why_not()
            raise
        stored = diff_of_patch(self._git, before, self._scratch.tree)
        if not stored:
            return Imported(source.name, None, tuple(remarks))
        subject = said.subject or _title(source.stem)
        if not subject:
            subject = source.name
            remarks.append(f"has no subject: {subject}")
        number = self._before + len(self.files) + 1
        name = f"{self._stack}/{number:04d}-{_slug(source.stem, subject)}.patch"
        header = self._header(said, subject, remarks)
        for wanted in self._series.upstream.header:
            if not header.paragraph(wanted):
                self._lacking.append(f"  {source.name}: {wanted}")
        self.files[name] = header.as_mail() + stored
        return Imported(source.name, name, tuple(remarks))

    def _why_not(self) -> str:
        series = self._series
        remedy = (
            f"Check that the pin of {series.root}, {series.pin[:12]}, is the version that the "
            "patches were made for, and that earlier patches come first. A release archive may "
            "contain other files than git: docs/own-upstream.md says how to use one as upstream."
        )
        if series.patches:
            remedy += " The patches that the project has are applied before: is this one of them?"
        return remedy

    def _header(self, said: Description, subject: str, remarks: list[str]) -> Header:
        author = " ".join(re.sub("[<>]", " ", said.author).split())
        address = re.sub(r"[\s<>]+", "_", said.address)  # such as "me AT example DOT org"
        if not mail.in_commit(author):
            author, address = self._author()
            remarks.append(f"names no author: {author} <{address}>")
        if not mail.in_commit(address):
            address = NO_ADDRESS
            remarks.append(f"no address of its author: {author} <{address}>")
        date = said.date
        if not date or date.timestamp() < 0:  # before 1970, which git cannot store
            date = datetime.now(timezone.utc).replace(microsecond=0)
            remarks.append("has no date: today")
        return Header(author, address, date, subject, said.body)

    def install(self) -> None:
        """Replace the project's series, once the patch files give the same tree.

        Raises:
            ImportingError: headers lack paragraphs that the project requires.
        """
        if self._lacking:
            raise ImportingError(
                "\n".join(["headers lack paragraphs that the project requires:", *self._lacking]),
                remedy="Add them to the patches, as 'Why: ...', or remove them from [header] in "
                "upstream.toml.",
            )
        files = {f"patches/{name}": data for name, data in self.files.items()}
        listing = (self._series.root / SERIES).read_bytes()
        if listing and not listing.endswith(b"\n"):
            listing += b"\n"
        files[SERIES] = listing + "".join(f"{name}\n" for name in self.files).encode()
        with draft.drafted(self._series, files) as drafted:
            links = build_chain(self._git, drafted.series, drafted.series.patches)
            tree = self._git.out("rev-parse", f"{links[-1].commit}^{{tree}}")
            if tree != self._scratch.tree:
                raise AssertionError(f"the patch files give tree {tree}, not {self._scratch.tree}")
            drafted.install()


def _title(stem: str) -> str:
    """Return a subject made of a file name."""
    return re.sub(r"^[\d ]+(?=.)", "", re.sub("[-_ ]+", " ", _SUFFIX.sub("", stem)).strip())


def _slug(stem: str, subject: str) -> str:
    """Return the part of a patch's name that says what it does."""
    for text in (_SUFFIX.sub("", stem), subject):
        words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
        words = re.sub(r"^(?:\d+-)+", "", words)
        if words and not words.isdigit():
            return words[:_LONGEST].rstrip("-")
    return "patch"
