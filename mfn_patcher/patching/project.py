"""Where the patches, the series and the pin are, and where upstream is."""

from __future__ import annotations

from pathlib import Path

from mfn_patcher.errors import MfnPatchError
from mfn_patcher.patching.address import Address

PUBLIC_ADDRESS = "https://github.com/deepinsight/insightface.git"

_PACKAGE = Path(__file__).resolve().parents[1]


def project_root(given: Path | None = None, *, writable: bool = False) -> Path:
    """Return the folder that holds ``pinned_commit.txt`` and ``patches/``.

    That is `given`; else the current folder, if it is such a one; else what an installed tool
    carries; else the checkout it runs from.

    Args:
        given: the user's choice.
        writable: its files are to be changed, which what an installed tool carries is not for.

    Raises:
        MfnPatchError: it holds no series, or is not to be changed.
    """
    bundled = _PACKAGE / "bundled"
    own = bundled if bundled.is_dir() else _PACKAGE.parent
    here = Path.cwd()
    # A folder that quilt keeps patches in has a series, but names no commit.
    root = given or (here if _holds_series(here) and (here / "pinned_commit.txt").exists() else own)
    if not _holds_series(root):
        raise MfnPatchError(
            f"{root} holds no patches/series",
            remedy="Name the folder with pinned_commit.txt and patches/ by --project.",
        )
    if writable and root == bundled:
        raise MfnPatchError(
            "the patches that an installed mfn-patch carries are not to be changed",
            remedy="Name the checkout of your patches by --project.",
        )
    return root


def _holds_series(folder: Path) -> bool:
    return (folder / "patches" / "series").is_file()


def resolve_address(address: str) -> Address:
    """Return upstream's `address`, made absolute where it is a path on this machine.

    Raises:
        AddressError: it must not be given to git.
    """
    return Address(str(Path(address).resolve()) if address and Path(address).is_dir() else address)
