"""The TOML text of the default recipe, for tests that change it."""

from __future__ import annotations

from mfn_patcher.recipes import loading

TEXT = loading.read_text("mobilefacenet")[0]
