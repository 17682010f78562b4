"""Starting a project: the files that a folder of patches for some upstream begins with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching import worktree
from mfn_patcher.patching.git import Repository, temporary_repository
from mfn_patcher.patching.project import PIN, SERIES, UPSTREAM, Upstream
from mfn_patcher.patching.upstream import fetch_revision
from mfn_patcher.remedies import on_github

if TYPE_CHECKING:
    from mfn_patcher.patching.address import Address

WORKFLOW = ".github/workflows/patches.yml"

_UPSTREAM_TEXT = """\
# The repository that the patches are made for.
address = {address}

# The paths that a workspace contains, as git's sparse checkout patterns; patched files are always
# included. "/*" is everything, "/src/" a folder.
paths = ["/*"]

# What the header of each patch must say, and what `mfn-patch new` asks for, if you want that:
# [header]
# Why = "Why it is needed"
"""

_SERIES_TEXT = """\
# The order in which the patches are applied, one path a line; a folder is a stack.
"""

_IGNORED_TEXT = """\
# The workspace of mfn-patch, and what it writes while it changes the series.
/{name}/
/.mfn-patch-draft/
/.mfn-patch-committed/
"""

_ATTRIBUTES_TEXT = """\
# A patch is bytes: git must not change the line endings that it quotes from upstream.
*.patch -text
"""

_WORKFLOW_TEXT = """\
# Checks that the patches fit: the pin on each push, upstream's newest commit once a week.
name: patches
on:
  push:
  pull_request:
  schedule:
    - cron: "23 4 * * 1"
  workflow_dispatch:
permissions:
  contents: read
jobs:
  check:
{advice}    uses: {repository}/.github/workflows/check.yml@{reference}
"""
_ADVICE = "    # OWNER and REF are those of a copy of the repository of mfn-patch.\n"

_README_TEXT = """\
# Patches for {name}

The patches in `patches/` are for {address}
at commit `{pin}`. They are kept with mfn-patch.

| to | run |
|---|---|
| get the patched code, in `{name}/` | `mfn-patch apply` |
| import a quilt series, mails or a branch | `mfn-patch import SERIES --stack NAME` |
| make a patch of your edits there | `mfn-patch new NAME --stack STACK` |
| change a patch | edit the code, then `mfn-patch refresh STACK/NNNN` |
| check that the patches fit | `mfn-patch check` |
| check them against the newest upstream | `mfn-patch check --against upstream --history` |
| move to another commit of upstream | `mfn-patch rebase --onto REVISION` |

A workflow such as `.github/workflows/patches.yml` runs the checks.
"""


class StarterError(MfnPatchError):
    """A project cannot be made there; nothing was written."""


@dataclass(frozen=True)
class Started:
    """A new project.

    Attributes:
        upstream: its upstream.
        pin: the commit id.
        written: the files that were written, relative to the project.
        kept: files that were there and stay as they are.
        repository: whether a git repository was made.
    """

    upstream: Upstream
    pin: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    repository: bool


def start(folder: Path, address: Address, revision: str) -> Started:
    """Make a project in a folder, which need not exist.

    Args:
        folder: the folder of the project.
        address: the address of upstream.
        revision: the pin: a commit id, also abbreviated, a branch, a tag, or ``upstream``.

    Raises:
        StarterError: there is a project already, or a file in the way.
        FetchError: the address cannot be reached, or does not have the revision.
        OutsideError: a file would be written through a link.
    """
    try:
        address.encode()
    except UnicodeEncodeError as error:
        raise StarterError(
            f"upstream.toml cannot contain {str(address)!r}: it is not UTF-8",
            remedy="Rename the folder, or use another address.",
        ) from error
    folder = folder.resolve()
    with temporary_repository() as repository:
        pin = fetch_revision(repository, address, revision, ())
    upstream = Upstream(address, ("/*",))
    files = {
        ".gitattributes": _ATTRIBUTES_TEXT,
        ".gitignore": _IGNORED_TEXT.format(name=upstream.name),
        "README.md": _README_TEXT.format(name=upstream.name, address=address, pin=pin),
        UPSTREAM: _UPSTREAM_TEXT.format(address=json.dumps(address, ensure_ascii=False)),
        SERIES: _SERIES_TEXT,
        PIN: f"{pin}\n",
    }
    for path in (PIN, UPSTREAM, *worktree.below(folder, "patches")):
        if os.path.lexists(folder / path) and not _is_left(folder, path, files.get(path, "")):
            raise StarterError(
                f"{folder / path} already exists, with other content",
                remedy="Choose another folder, or use the project as it is. If it is what an "
                "interrupted `init` has left, remove it and try again.",
            )
    inside = [parent for parent in (folder, *folder.parents) if _is_repository(parent)]
    if inside[:1] in ([], [folder]):
        source = on_github()
        place, reference = source or ("OWNER/mfn-patch", "REF")
        advice = "" if source else _ADVICE
        files[WORKFLOW] = _WORKFLOW_TEXT.format(
            advice=advice, repository=place, reference=reference
        )
    # A link is kept even if what it names does not exist, which may be outside.
    written = tuple(
        path
        for path, text in files.items()
        if not os.path.lexists(folder / path) or _is_left(folder, path, text[:-1])
    )
    kept = tuple(path for path in files if path not in written)
    for path in written:
        worktree.refuse_detour(folder, path)
    if not inside:
        folder.mkdir(parents=True, exist_ok=True)
        Repository(folder).run("init", "--quiet", "--", str(folder))
    for path in written:
        worktree.make_parents(folder, path).write_text(files[path], encoding="utf-8")
    return Started(upstream, pin, written, kept, not inside)


def _is_left(folder: Path, path: str, text: str) -> bool:
    """Return whether a path contains what `start` had written of a text when it was killed."""
    found = worktree.look(folder, path)
    return bool(found and found.mode == worktree.FILE and text.encode().startswith(found.content))


def _is_repository(folder: Path) -> bool:
    git_dir = folder / ".git"
    # Without its HEAD, git takes a folder for none.
    return git_dir.is_file() or (git_dir / "HEAD").exists()
