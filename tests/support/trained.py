"""The training run whose checkpoints several tests share, and what is exported from it."""

from __future__ import annotations

import pytest

from mfn_patcher.export import formats

BATCH, INTERVAL = 6, 2
"""Images per step, and steps between checkpoints."""
SHARING = pytest.mark.timeout(300, func_only=True)
"""Marks tests of these checkpoints; the training time does not count towards the first one."""

NAME = "model-y1-softmax-0001"
MODELS = {form.name: f"{NAME}{form.suffix}" for form in formats.runnable()}
"""The exported model of each format, by name of the format."""
