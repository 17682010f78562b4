"""Commands in remedies, written so that they work when pasted into the user's shell.

* Messages contain commands in backticks, such as `` `mfn-patch apply` ``. `as_typed`, called by
  everything that prints errors and findings, turns that into ``.venv/bin/mfn-patch apply`` if that
  is how the user runs the tool.
* `install` returns the command that installs an extra of this package. The package is on no index,
  so the command installs it from where this installation came from.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_DISTRIBUTION = "mfn-patcher"
COMMAND = "mfn-patch"
"""The name of the program."""
_EXTRA = re.compile(r"""\s*(?:;|\band\b)\s*extra\s*==\s*['"]([^'"]+)['"]""")


def command() -> str:
    """Return how the user runs this program, quoted for a shell."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "mfn_patcher":
        return f"{_typed(sys.executable)} -m mfn_patcher"
    if started.name != COMMAND:
        # Another program imports this package; how it was started says nothing about ours.
        return COMMAND
    return _typed(sys.argv[0])


def _typed(program: str) -> str:
    """Return a program's name if the shell resolves it to the same program, else its path."""
    name = Path(program).name
    found = shutil.which(name)
    if found and _same(found, program):
        return name
    return shlex.quote(program)


def _same(found: str, program: str) -> bool:
    # Interpreters of virtual environments are links to a common interpreter, so resolving links
    # would make different environments look the same.
    if os.path.abspath(found) == os.path.abspath(program):  # noqa: PTH100
        return True
    return Path(program).name == COMMAND and os.path.realpath(found) == os.path.realpath(program)


def as_typed(text: str) -> str:
    """Return `text` with the commands in backticks written as the user can run them."""
    name = command()
    if name == COMMAND:
        return text
    own = re.compile(rf"(?<=[\s`]){COMMAND}(?=[\s`])")
    return re.sub(r"`[^`]*`", lambda quoted: own.sub(lambda _: name, quoted[0]), text)


def install(extra: str, python: str = sys.executable) -> str:
    """Return the command that installs an extra of this package into an interpreter.

    Args:
        extra: name of the extra, such as ``cpu``.
        python: path of the interpreter.
    """
    source = _source(extra) or " ".join(map(shlex.quote, _requirements(extra)))
    return f"{pip_install(python)} {source}"


def pip_install(python: str = sys.executable) -> str:
    """Return the start of a command that installs packages into an interpreter."""
    own = python == sys.executable
    if own and importlib.util.find_spec("pip") is None and shutil.which("uv"):
        # Environments created by uv do not contain pip.
        return f"uv pip install --python {shlex.quote(python)}"
    return f"{shlex.quote(python)} -m pip install"


def _source(extra: str) -> str | None:
    """Return pip's argument for this package with an extra; None if pip cannot install it."""
    origin = _origin()
    url = urlsplit(str(origin.get("url", "")))
    if url.scheme == "file":
        path = unquote(url.path)
        if "vcs_info" in origin or not Path(path).exists():
            # pip does not accept extras with the address of a local repository.
            return None
        editable = (origin.get("dir_info") or {}).get("editable")
        return ("--editable " if editable else "") + shlex.quote(f"{path}[{extra}]")
    if not url.scheme:
        return None
    address = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    if vcs := origin.get("vcs_info"):
        address = f"{vcs['vcs']}+{address}@{vcs['commit_id']}"
    if folder := origin.get("subdirectory"):
        address += f"#subdirectory={folder}"
    return shlex.quote(f"{_DISTRIBUTION}[{extra}] @ {address}")


def on_github() -> tuple[str, str] | None:
    """Return OWNER/NAME and commit of this package, if it was installed from there with git."""
    origin = _origin()
    url = urlsplit(str(origin.get("url", "")))
    commit = (origin.get("vcs_info") or {}).get("commit_id")
    name = url.path.strip("/").removesuffix(".git")
    if url.hostname != "github.com" or not commit or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return None
    return name, str(commit)


def _origin() -> dict[str, Any]:
    """Return where this package was installed from, as recorded by the installer (PEP 610)."""
    from importlib import metadata  # noqa: PLC0415  (slow to import, and --help must be instant)

    try:
        noted = metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        noted = None
    if noted:
        origin: dict[str, Any] = json.loads(noted)
        return origin
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return {"url": checkout.as_uri()}
    return {}


def _requirements(extra: str) -> Iterator[str]:
    """Yield the requirements of an extra, which unlike this package are on an index."""
    from importlib import metadata  # noqa: PLC0415  (see above)

    for requirement in metadata.requires(_DISTRIBUTION) or ():
        of = _EXTRA.search(requirement)
        if of and of[1] == extra:
            yield _EXTRA.sub("", requirement)
