"""How pictures look, and how they are written."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from mfn_patcher import files
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.remedies import install

try:
    import matplotlib as mpl
    from matplotlib import font_manager
    from matplotlib.figure import Figure
except ImportError as error:
    raise MfnPatchError(
        f"pictures require matplotlib, which cannot be imported: {error}",
        remedy=f"Install it with `{install('plot')}`.",
    ) from error

# Okabe and Ito's colours, which are distinguishable with colour blindness, without their yellow,
# which is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":")
INK = "#333333"
# Tried in this order for characters that the first lacks.
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei")
_TEXT = 10  # points


def style(size: float = _TEXT) -> Any:
    """Return matplotlib's settings for all pictures (a dictionary; its type is matplotlib's).

    Args:
        size: size of the text, in points.
    """
    installed = set(font_manager.get_font_names())
    return {
        "font.family": [name for name in _FONTS if name in installed],
        "font.size": size,
        "text.parse_math": False,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": size,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.grid": True,
        "grid.color": INK,
        "grid.alpha": 0.15,
        "xtick.color": INK,
        "ytick.color": INK,
        "svg.hashsalt": "mfn-patch",
    }


def write(figure: Figure, path: Path) -> None:
    """Write a picture, completely or not at all.

    Args:
        figure: a figure drawn in this `style`.
        path: file to write or replace; its suffix determines the format, ``.png`` or ``.svg``.
    """
    kind = path.suffix[1:]
    buffer = io.BytesIO()
    with mpl.rc_context(style()), warnings.catch_warnings():
        # Characters that no installed font has are drawn as boxes, so the warning is not needed.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    files.write(path, buffer.getvalue())
