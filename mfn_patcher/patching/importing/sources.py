"""The patches to import: where they are, and how each of them is applied."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.git import DIFF_OPTIONS, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERIES = "series"  # the list of a quilt series, in the folder of its patches

_UNIFIED = re.compile(rb"^@@ -\d", re.MULTILINE)
_CONTEXT = re.compile(rb"^\*{15}.*\n\*\*\* \d", re.MULTILINE)
_WITHOUT_HUNKS = re.compile(rb"^diff --git ", re.MULTILINE)
_OTHER = re.compile(
    rb"^(?:\d+(?:,\d+)?[acd](?:\d+(?:,\d+)?)?|Binary files .* differ)$", re.MULTILINE
)
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_STRIP = re.compile(r"-p(\d+)")
# `format.*` of the user's configuration would add what is switched off here.
_FORMAT = (
    *("--stdout", "--no-attach", "--no-signature", "--no-cover-letter", "--no-thread", "--always"),
    *("--no-base", "--no-notes", "--no-to", "--no-cc", "--no-add-header", "--no-from", "--no-stat"),
    *("--no-signoff", "--subject-prefix=PATCH"),
    *DIFF_OPTIONS,
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


class ImportingError(MfnPatchError):
    """Patches cannot be imported; nothing was changed."""


@dataclass(frozen=True)
class Source:
    """A patch to import.

    Attributes:
        name: the name to show.
        data: its content.
        stem: what its name in the project is made of; its subject if this is empty.
        strip: the number of leading folders to remove from its file names, as `patch -p`.
        reverse: whether to undo it instead.
        quilt: whether it is applied as quilt does, instead of as `git am`.
    """

    name: str
    data: bytes
    stem: str = ""
    strip: int = 1
    reverse: bool = False
    quilt: bool = False

    @property
    def is_mail(self) -> bool:
        """Whether it starts with the headers of a mail, and not with those of DEP-3."""
        fields = BytesHeaderParser().parsebytes(self.data.lstrip())
        return "From" in fields and "Subject" in fields and "Description" not in fields


def kind_of(name: str, diff: bytes) -> str:
    """Return ``unified``, ``context``, or an empty string if there are no changes in a diff.

    Args:
        name: the name of the patch, for messages.
        diff: the diff, with any text around it.

    Raises:
        ImportingError: it is another kind of diff, which could run commands or is incomplete.
    """
    unified, context = _UNIFIED.search(diff), _CONTEXT.search(diff)
    if unified and context:
        raise ImportingError(f"{name} mixes unified and context diffs")
    if context:
        return "context"
    if unified or _WITHOUT_HUNKS.search(diff):
        return "unified"
    if _OTHER.search(diff):
        raise ImportingError(
            f"{name} is neither a unified nor a context diff",
            remedy="Make it again with `diff -u`, or with `git diff --binary`.",
        )
    return ""


def read_files(paths: Sequence[Path], strip: int) -> list[Source]:
    """Return the patches in files: quilt series, mails and mailboxes, and plain diffs.

    Args:
        paths: patches, lists of a quilt series, and folders with a list named ``series``.
        strip: `Source.strip` of patches that are not in a quilt series.

    Raises:
        ImportingError: a file cannot be read, or a series has an unknown option.
    """
    sources: list[Source] = []
    for path in paths:
        if path.is_dir() and not (path / SERIES).exists():
            raise ImportingError(
                f"{path} has no file `{SERIES}`",
                remedy="Name the folder of a quilt series, the patch files themselves, or commits "
                "of a clone with --branch.",
            )
        file = path / SERIES if path.is_dir() else path
        source = Source(file.name, _read(file), file.name, strip)
        # `git format-patch` writes an empty file for an empty commit; the body of a mail may be
        # encoded.
        if not source.data or source.is_mail or kind_of(source.name, source.data):
            sources += _split(source)
        elif b"\x1b[" in source.data:
            raise ImportingError(
                f"{path} contains the colours of a terminal",
                remedy="Make it again with `git diff --no-color`.",
            )
        else:
            sources += _read_series(file, source.data)
    return sources


def read_branch(clone: Path, commits: str) -> list[Source]:
    """Return commits of a clone as mails.

    Args:
        clone: the clone, bare or not.
        commits: ``BASE..TIP``.

    Raises:
        ImportingError: there is no such clone, or there are merges among the commits.
        GitError: a revision does not exist.
    """
    repository = Repository(clone.resolve())  # git runs in it
    if not repository.git_dir.exists():
        repository.git_dir = repository.work_tree
    if not (clone / ".git").exists() and not (clone / "objects").exists():
        raise ImportingError(f"{clone} is not a git repository", remedy="Name a clone of upstream.")
    base, dots, tip = commits.partition("..")
    for revision in (base, tip):
        if not dots or not revision or not repository.resolve(revision):
            raise ImportingError(
                f"{clone} has no commits {commits!r}",
                remedy="Use BASE..TIP, with branches, tags or commits of the clone.",
            )
    merges = repository.out("rev-list", "--merges", commits, "--").split()
    if merges:
        raise ImportingError(
            f"{commits} contains merges, such as {merges[0][:12]}",
            remedy="Rebase the branch first, so that each change is a commit of its own.",
        )
    mails = repository.run("format-patch", *_FORMAT, commits, "--").stdout
    return list(_split(Source(commits, mails)))


def _read(path: Path) -> bytes:
    try:
        data = files.read(path)
    except OSError as error:
        raise ImportingError(f"{path} cannot be read: {error.strerror}") from error
    if data.startswith(_PACKED):
        raise ImportingError(f"{path} is compressed", remedy="Unpack it first.")
    return data


def _read_series(path: Path, data: bytes) -> Iterator[Source]:
    """Read the patches that the list of a quilt series names, by quilt's rules."""
    lines = data.decode(errors="surrogateescape").splitlines()
    found = False
    for number, line in enumerate(lines, 1):
        words = _COMMENT.sub("", line).split()
        if not words:
            continue
        found = True
        strip, reverse = 1, False
        for option in words[1:]:
            level = _STRIP.fullmatch(option)
            if level:
                strip = int(level[1])
            elif option == "-R":
                reverse = True
            else:
                raise ImportingError(
                    f"{path}:{number}: option {option!r} is not supported",
                    remedy="Supported are -p0, -p1 and so on, and -R.",
                )
        patch = path.parent / words[0]
        yield Source(words[0], _read(patch), patch.name, strip, reverse, quilt=True)
    if not found:
        raise ImportingError(
            f"{path} is neither a patch nor a list of patches",
            remedy="Name patch files, or the file `series` of a quilt series.",
        )


def _split(source: Source) -> Iterator[Source]:
    """Yield the mails of a mailbox; a plain diff is returned as it is."""
    if not source.is_mail:
        yield source
        return
    data = source.data.lstrip()
    if data.partition(b"\n")[0].endswith(b"\r"):  # saved as it was on its way through the network
        data = data.replace(b"\r\n", b"\n")
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as folder:
        git = Repository(Path(folder))
        git.run("mailsplit", "-b", "--keep-cr", f"-o{folder}", stdin=data)
        mails = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    if len(mails) == 1:
        yield replace(source, data=mails[0])
        return
    for number, mail in enumerate(mails, 1):
        yield Source(f"mail {number} of {source.name}", mail, strip=source.strip)
