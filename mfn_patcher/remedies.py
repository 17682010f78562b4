"""Commands that remedies name, in a form that works when it is typed into this user's shell.

* A text says `` `mfn-patch apply` `` in backticks; `as_typed`, which everything that prints errors
  and findings calls, turns that into ``.venv/bin/mfn-patch apply`` where the user types it so.
* `install` returns the command that installs an extra of this package. No index has the package,
  so it is installed from where this one came from.
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
_COMMAND = "mfn-patch"
_EXTRA = re.compile(r"""\s*(?:;|\band\b)\s*extra\s*==\s*['"]([^'"]+)['"]""")


def command() -> str:
    """Return the name of this program as the user can type it, quoted for a shell."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" and started.parent.name == "mfn_patcher":
        return f"{_typed(sys.executable)} -m mfn_patcher"
    if started.name != _COMMAND:
        # Another program calls this package and has not told how it was started.
        return _COMMAND
    return _typed(sys.argv[0])


def _typed(program: str) -> str:
    """Return a program's bare name if the shell finds this very program by it, else its path."""
    name = Path(program).name
    found = shutil.which(name)
    if found and _same(found, program):
        return name
    return shlex.quote(program)


def _same(found: str, program: str) -> bool:
    # The interpreters of virtual environments are links to a common one, so only programs that
    # are no interpreters may be compared by the file that they lead to.
    if os.path.abspath(found) == os.path.abspath(program):  # noqa: PTH100
        return True
    return Path(program).name == _COMMAND and os.path.realpath(found) == os.path.realpath(program)


def as_typed(text: str) -> str:
    """Return a text whose commands in backticks name this program as the user can type it."""
    name = command()
    if name == _COMMAND:
        return text
    own = re.compile(rf"(?<=[\s`]){_COMMAND}(?=[\s`])")
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
    """Return the beginning of a command that installs packages into an interpreter."""
    own = python == sys.executable
    if own and importlib.util.find_spec("pip") is None and shutil.which("uv"):
        # Environments that uv makes have no pip of their own.
        return f"uv pip install --python {shlex.quote(python)}"
    return f"{shlex.quote(python)} -m pip install"


def _source(extra: str) -> str | None:
    """Return what names this package, with an extra, to pip; None if nothing does."""
    origin = _origin()
    url = urlsplit(str(origin.get("url", "")))
    if url.scheme == "file":
        path = unquote(url.path)
        if "vcs_info" in origin or not Path(path).exists():
            # pip takes no name with an extra together with the address of a local repository.
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


def _origin() -> dict[str, Any]:
    """Return what the installer noted of where this package came from, as PEP 610 has it."""
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
    """Yield what an extra brings; unlike this package, an index has that."""
    from importlib import metadata  # noqa: PLC0415  (see above)

    for requirement in metadata.requires(_DISTRIBUTION) or ():
        of = _EXTRA.search(requirement)
        if of and of[1] == extra:
            yield _EXTRA.sub("", requirement)
