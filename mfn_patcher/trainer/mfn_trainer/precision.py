"""The precisions of a network; the engines' documentation says what each means."""

from __future__ import annotations

FP32 = "fp32"
"""Single precision: MXNet's, and the default."""
PRECISIONS = (FP32, "tf32", "bf16")
