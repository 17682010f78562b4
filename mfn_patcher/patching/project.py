"""The files of a project: its folder, its pin, and where its upstream is.

A project is a folder with three things:

* ``pinned_commit.txt``: the commit of upstream that the patches are made for.
* ``upstream.toml``: upstream's address, the paths that a workspace contains, and what the header
  of each patch must say.
* ``patches/``: the patches, and ``patches/series`` with their order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import Address, AddressError
from mfn_patcher.patching.patchfile import PatchFormatError, Problem, read_text
from mfn_patcher.toml import tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

PIN = "pinned_commit.txt"
UPSTREAM = "upstream.toml"
SERIES = "patches/series"

_BUNDLED = Path(__file__).resolve().parents[1] / "bundled"  # in an installed package
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REQUIRED = {"address", "paths"}
_KEYS = {*_REQUIRED, "header", "ignored"}
_PARAGRAPH = re.compile(r"[A-Z][A-Za-z-]*")
# What means something else to git in a sparse checkout pattern.
_ONLY_GIT = re.compile(r"[?\[\\\x00-\x1f]|\*\*| \Z")
_LINE = re.compile(r"\(at line (\d+), ")  # in the messages of tomllib


@dataclass(frozen=True)
class Upstream:
    """The repository that a project patches.

    Attributes:
        address: its public address; an absolute path if ``upstream.toml`` has a path, which may be
            relative to the project.
        paths: what a workspace contains, as sparse checkout patterns; patched files are always
            included.
        header: the paragraphs that the project wants in the header of each patch, and the question
            that each answers.
        ignored: paths in the workspace that are not upstream's, such as results, as patterns.
    """

    address: str
    paths: tuple[str, ...]
    header: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the repository, as git would name the folder of a clone."""
        parts = [part for part in re.split("[/:]", self.address) if part not in ("", ".git")]
        name = re.sub(r"[^\w.-]", "-", parts[-1].removesuffix(".git")) if parts else ""
        # The project has a folder of patches, and a workspace needs one of its own.
        return name if name.strip(".") and name != "patches" else "upstream"


def project_root(given: Path | None = None, *, writable: bool = False) -> Path:
    """Return the folder of the project.

    That is `given`; else the current folder, if it contains a project; else the project that an
    installed mfn-patch contains; else the checkout that mfn-patch runs from.

    Args:
        given: the folder that the user named.
        writable: whether the project will be changed. The one in an installation never is, and the
            checkout only if the current folder is in it.

    Raises:
        MfnPatchError: there is no project, or it must not be changed.
    """
    own = _own_project()
    here = Path.cwd()
    root = given or (here if is_project(here) else own)
    if not _has_series(root):
        raise MfnPatchError(
            f"{root} contains no {SERIES}",
            remedy=f"Use --project to name the folder with {PIN}, {UPSTREAM} and patches/.",
        )
    if writable and root == _BUNDLED:
        raise MfnPatchError(
            "the patches of an installed mfn-patch cannot be changed",
            remedy="Use --project to name a checkout of your own patches, or start a project with "
            "`mfn-patch init`.",
        )
    if writable and root != given and not here.is_relative_to(root):
        raise MfnPatchError(
            f"{here} contains no project",
            remedy="Run the command in the folder of your project, or name that folder with "
            "--project. `mfn-patch init` starts a project.",
        )
    return root


def _own_project() -> Path:
    return _BUNDLED if _BUNDLED.is_dir() else _BUNDLED.parents[1]


def is_project(folder: Path) -> bool:
    """Return whether a folder contains a project."""
    # quilt has a patches/series too, but no pinned commit.
    return _has_series(folder) and (folder / PIN).exists()


def _has_series(folder: Path) -> bool:
    return (folder / SERIES).is_file()


def read_pin(root: Path) -> str:
    """Return the commit id in ``pinned_commit.txt`` of the project at `root`.

    Raises:
        PatchFormatError: the file does not contain one.
    """
    path = root / PIN
    pin = read_text(path).strip()
    if not _COMMIT.fullmatch(pin):
        raise PatchFormatError(Problem(path, 1, "must contain a commit id of 40 hex digits"))
    return pin


def read_upstream(root: Path) -> Upstream:
    """Return what ``upstream.toml`` of the project at `root` says.

    A project without one is for the same upstream as the project that mfn-patch contains.

    Raises:
        PatchFormatError: the file does not have the documented format.
    """
    path = root / UPSTREAM
    if not path.exists():
        path = _own_project() / UPSTREAM

    def wrong(message: str, line: int = 0) -> PatchFormatError:
        return PatchFormatError(Problem(path, line, message))

    try:
        values = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        raise wrong(f"not valid TOML: {error}", int(found[1]) if found else 0) from error
    unknown, missing = sorted(values.keys() - _KEYS), sorted(_REQUIRED - values.keys())
    if unknown or missing:
        raise wrong(f"unknown key {unknown[0]!r}" if unknown else f"missing key {missing[0]!r}")
    address, paths, header = values["address"], values["paths"], values.get("header", {})
    if not isinstance(address, str):
        raise wrong("`address` must be a string")
    if address and (root / address).is_dir():
        address = str((root / address).resolve())
    try:
        if Address(address) != address:
            raise wrong("`address` must not contain a user name, password, token or query")
    except AddressError as error:
        raise wrong(f"`address`: {error}") from error
    ignored = values.get("ignored", [])
    for problem in (
        _wrong_in_patterns("paths", paths) or _wrong_in_wildcards(paths),
        paths == [] and "`paths` must be a list of patterns, such as ['/src/']",
        _wrong_in_header(header),
        _wrong_in_patterns("ignored", ignored),
    ):
        if problem:
            raise wrong(problem)
    return Upstream(address, tuple(paths), header, tuple(ignored))


def _wrong_in_patterns(key: str, patterns: object) -> str:
    if not isinstance(patterns, list):
        return f"`{key}` must be a list of patterns, such as ['/src/']"
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.startswith("/") or "\n" in pattern:
            return f"`{key}`: {pattern!r} must be a string that starts with '/'"
    return ""


def _wrong_in_wildcards(patterns: list[str]) -> str:
    for pattern in patterns:
        if _ONLY_GIT.search(re.sub(r"\\.", "x", pattern)):
            return f"`paths`: {pattern!r}: '*' is the only wildcard; quote others, as in '\\?'"
    return ""


def _wrong_in_header(header: object) -> str:
    if not isinstance(header, dict):
        return "`header` must be a table of paragraphs, such as Why = 'Why it is needed'"
    for name, question in header.items():
        if not _PARAGRAPH.fullmatch(name) or not isinstance(question, str) or not question:
            return f"`header`: {name!r} must be a word with a capital letter, and a question"
    return ""


def resolve_address(address: str) -> Address:
    """Return an address of upstream, made absolute if it is a local path.

    Raises:
        AddressError: the address must not be passed to git.
    """
    return Address(str(Path(address).resolve()) if address and Path(address).is_dir() else address)
