"""A folder in which patches are applied by the programs that they were made for.

A quilt series is applied by GNU patch, as quilt does; anything else by `git apply`, as `git am`
does. The folder has only the files that a patch may change.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.patching import unified, worktree
from mfn_patcher.patching.git import GitError, Repository
from mfn_patcher.patching.importing.sources import ImportingError
from mfn_patcher.patching.merge import Entry, change_tree, write_blob
from mfn_patcher.patching.objects import blob_id
from mfn_patcher.patching.unified import ABSENT
from mfn_patcher.patching.worktree import FILE, LINK, PROGRAM, SUBMODULE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mfn_patcher.patching.importing.sources import Source

_LOG = logging.getLogger(__name__)

_NAMES = re.compile(rb"^(?:--- |\+\+\+ |\*\*\* |Index: )(.*)$", re.MULTILINE)
_BARE_NAMES = re.compile(rb"^(?:rename|copy) (?:from|to) (.*)$", re.MULTILINE)
_FIRST_LINES = re.compile(rb"^diff --git (.*)$", re.MULTILINE)
_SUBMODULES = re.compile(
    rb"^(?:(?:new file|deleted file|old|new) mode|index .*) 160000$", re.MULTILINE
)
_BINARY = b"\nGIT binary patch\n"
_DIFFERS = re.compile(rb"^Binary files .* differ$", re.MULTILINE)
_WITHOUT_CONTENT = re.compile(rb"^index .*\n" + _DIFFERS.pattern, re.MULTILINE)
# What both programs print about a hunk that is not exactly where the patch says.
_MOVED = re.compile(r"(Hunk #\d+ succeeded at \d+.*?)\.?$")
_FILE = re.compile(r"(?:patching file |Checking patch )(.*?)(?:\.\.\.)?$")
_FAILED = re.compile(
    r"FAILED|dangerous|can't find file|Perhaps you used|^\|(?:---|\+\+\+) |^error: |malformed|"
    r"not a regular file|already exists|: the patch would "
)
# GNU patch says this in two lines; git says it in one, which `_FAILED` knows.
_MISFIT = re.compile(
    r"^The next patch(?:, when reversed,)? would (.*?) the file (.*),\n(which .*?)!.*$",
    re.MULTILINE,
)
_VARIABLES = ("POSIXLY_CORRECT", "PATCH_GET", "PATCH_VERSION_CONTROL", "VERSION_CONTROL")


class DoesNotApplyError(ImportingError):
    """A patch does not apply; who knows the project adds the remedy."""


class Scratch:
    """The files that patches change, in a folder of its own.

    Args:
        repository: a repository with `tree` and its blobs.
        folder: the folder, which is empty.
        tree: the tree, or the commit with the tree, that the first patch is applied to.

    Attributes:
        tree: the tree after the patches so far.
    """

    def __init__(self, repository: Repository, folder: Path, tree: str) -> None:
        self._git = repository
        self._here = Repository(folder)
        self._here.git_dir = repository.git_dir
        self._folder = folder
        self._entries = repository.entries(tree)
        self._shown: dict[str, Entry] = {}
        self.tree = tree

    def apply(self, source: Source, diff: bytes, kind: str) -> list[str]:
        """Apply a patch, and return remarks about hunks that moved and what was passed over.

        Args:
            source: the patch.
            diff: its diff.
            kind: what `kind_of` says of it.

        Raises:
            ImportingError: it does not apply, or changes links or submodules.
        """
        if _SUBMODULES.search(diff):
            raise ImportingError(f"{source.name} changes a submodule, which patches do not support")
        if _WITHOUT_CONTENT.search(diff) and not source.quilt:
            raise ImportingError(
                f"{source.name} lacks the content of a binary file",
                remedy="Make it again with `git diff --binary`.",
            )
        self._show(names_in(diff, source.strip), source)
        said = (self._patch if source.quilt else self._git_apply)(source, diff, kind)
        self._take(source)
        passed_over = (line.decode(errors="replace") for line in _DIFFERS.findall(diff))
        return [*_remarks(said), *(f"content not imported: {line}" for line in passed_over)]

    def _show(self, names: Iterable[str], source: Source) -> None:
        """Write the files of these names to the folder."""
        for path in names:
            if path in self._shown or path not in self._entries:
                continue
            mode, blob = self._entries[path]
            if mode in (LINK, SUBMODULE):
                raise ImportingError(
                    f"{source.name} changes {path}, which is a link or a submodule",
                    remedy="Patches of links and submodules are not supported.",
                )
            place = worktree.make_parents(self._folder, path)
            place.write_bytes(self._git.run("cat-file", "blob", blob).stdout)
            place.chmod(0o755 if mode == PROGRAM else 0o644)
            self._shown[path] = Entry(mode, blob)

    def _patch(self, source: Source, diff: bytes, kind: str) -> str:
        """Apply a diff with GNU patch."""
        if _BINARY in diff:
            raise ImportingError(
                f"{source.name} changes a binary file, which GNU patch cannot do",
                remedy="Import this patch and those after it by their own names, instead of that "
                "of the series: then git applies them.",
            )
        program = _gnu_patch(source)
        command = [program, f"-p{source.strip}", "--force", "--no-backup-if-mismatch", "--get=0"]
        # Otherwise it would run ed on what looks like a script for it.
        command.append(f"--{kind}")
        command += ["--reject-file=-", *(["--reverse"] if source.reverse else [])]
        ran = subprocess.run(
            command,
            cwd=self._folder,
            env={**{n: v for n, v in os.environ.items() if n not in _VARIABLES}, "LC_ALL": "C"},
            input=diff,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = ran.stdout.decode(errors="replace")
        if ran.returncode:
            raise _failure(source, said)
        return said

    def _git_apply(self, source: Source, diff: bytes, kind: str) -> str:
        """Apply a diff with git, or with GNU patch if it needs fuzz."""
        how = ("--verbose", "--whitespace=nowarn", f"-p{source.strip}")
        try:
            done = self._here.run("apply", *how, stdin=diff, env={"LC_ALL": "C"})
            return done.stderr.decode(errors="replace")
        except GitError as error:
            said = error.stderr.decode(errors="replace")
            if _BINARY in diff:
                raise _failure(source, said) from error
        _LOG.debug("%s: trying GNU patch, because git says: %s", source.name, said.strip())
        try:
            return self._patch(source, diff, kind)
        except ImportingError as error:
            raise _failure(source, said) from error

    def _take(self, source: Source) -> None:
        """Make a tree of what is in the folder now."""
        found: dict[str, Entry] = {}
        for path in worktree.below(self._folder, ""):
            seen = worktree.look(self._folder, path)
            if not seen or seen.mode not in (FILE, PROGRAM):
                raise ImportingError(
                    f"{source.name} makes {path}, which is not a regular file",
                    remedy="Patches of links are not supported.",
                )
            if ".git" in path.lower().split("/"):
                raise ImportingError(f"{source.name} changes {path}, but .git is git's own")
            blob = blob_id(seen.content)
            if self._shown.get(path) != Entry(seen.mode, blob):
                write_blob(self._git, seen.content)
            found[path] = Entry(seen.mode, blob)
        gone = {path: Entry("0" * 6, ABSENT) for path in self._shown if path not in found}
        changed = {p: e for p, e in found.items() if self._shown.get(p) != e}
        self.tree = change_tree(self._git, self.tree, {**gone, **changed})
        self._shown = found
        for path in gone:
            self._entries.pop(path, None)


def names_in(diff: bytes, strip: int) -> set[str]:
    """Return all file names that a diff may mean, and perhaps some more.

    Args:
        diff: the diff.
        strip: the number of leading folders to remove.
    """
    named = {(name, strip) for name in _NAMES.findall(diff)}
    named |= {(name, strip - 1) for name in _BARE_NAMES.findall(diff)}
    for line in _FIRST_LINES.findall(diff):
        named |= {(half, strip) for half in (line[: len(line) // 2], line[len(line) // 2 + 1 :])}
        named |= {(quoted, strip) for quoted in re.findall(rb'"(?:[^"\\]|\\.)*"', line)}
    names = set()
    for text, level in named:
        line = text.rstrip(b"\r")
        for name in (line, line.partition(b"\t")[0], line.partition(b" ")[0]):
            parts = re.split("/+", os.fsdecode(unified.unquote(name)))
            names.add("/".join(parts[max(level, 0) :]))
    return names - {""}


def _gnu_patch(source: Source) -> str:
    program = shutil.which("patch")
    said = program and subprocess.run(
        [program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    if not program or not said or not said.stdout.startswith(b"GNU patch"):
        raise ImportingError(
            f"{source.name} needs GNU patch, which was not found",
            remedy="Install the package `patch` and try again.",
        )
    return program


def _failure(source: Source, said: str) -> DoesNotApplyError:
    rows = [
        f"  {file}: {line}" if file and "Hunk" in line else f"  {line}"
        for file, line in _by_file(_MISFIT.sub(r"\2: the patch would \1 the file, \3", said))
        if _FAILED.search(line)
    ]
    return DoesNotApplyError(
        "\n".join([f"{source.name} does not apply", *(rows or [f"  {said.strip()}"])])
    )


def _remarks(said: str) -> list[str]:
    return [f"{file}: {moved[1]}" for file, line in _by_file(said) if (moved := _MOVED.match(line))]


def _by_file(said: str) -> Iterator[tuple[str, str]]:
    """Yield each line of what was printed, after the name of the file that it is about."""
    file = ""
    for line in said.splitlines():
        named = _FILE.match(line)
        file = named[1] if named else file
        yield file, line
