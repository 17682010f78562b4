"""The browser that tests look at pages with."""

from __future__ import annotations

import os
import shutil

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Path of the browser; None if there is none."""
ARGUMENTS = [
    *("--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *(["--no-sandbox"] if os.getuid() == 0 else []),
]
"""Its arguments."""
