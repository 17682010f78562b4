"""Where the patches, the series and the pin are, and where upstream is."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.errors import MfnPatchError

PUBLIC_ADDRESS = "https://github.com/deepinsight/insightface.git"

_PACKAGE = Path(__file__).resolve().parent


def project_root(given: Path | None = None) -> Path:
    """Return the folder that holds ``pinned_commit.txt`` and ``patches/``.

    That is `given`; else what an installed tool carries; else the checkout it runs from.

    Raises:
        MfnPatchError: it holds no series.
    """
    bundled = _PACKAGE / "bundled"
    root = given or (bundled if bundled.is_dir() else _PACKAGE.parent)
    if not (root / "patches" / "series").is_file():
        raise MfnPatchError(
            f"{root} holds no patches/series",
            remedy="Name the folder with pinned_commit.txt and patches/ by --project.",
        )
    return root


def resolve_address(address: str) -> str:
    """Return upstream's `address`, made absolute where it is a folder on this machine."""
    return str(Path(address).resolve()) if Path(address).is_dir() else address
