"""Our code inside the training interpreter: the package ``mfn_trainer``, and which one it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
"""What the training interpreter must have on ``PYTHONPATH``.

Not the folder of ``mfn_patcher``: in an installation that has all of the tool's dependencies, which
must not take the place of those that the training interpreter has.
"""


def digest() -> str:
    """Return the SHA-256 over names and contents of the package's modules.

    Equal digests compute the same; records of runs keep it.
    """
    sha256 = hashlib.sha256()
    for path in sorted((FOLDER / "mfn_trainer").rglob("*.py")):
        content = path.read_bytes()
        sha256.update(f"{path.relative_to(FOLDER).as_posix()}\0{len(content)}\0".encode())
        sha256.update(content)
    return sha256.hexdigest()
