"""Which GPUs a build has code for, by compute capability.

Machine code for capability X.Y runs on capability X.Z where Z >= Y, and on no other X. PTX for X.Y
is compiled by the driver for every capability from X.Y on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Capability = tuple[int, int]

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")

MXNET_WHEELS = {
    f"mxnet-cu{cuda}": ("sm_50", "sm_60", "sm_70", "sm_80", "sm_86")
    for cuda in (112, 113, 114, 115, 116, 117)
}
"""The machine code in the MXNet 1.9.1 wheels for CUDA 11, which contain no PTX."""


def has_code(architectures: Sequence[str], capability: Capability) -> bool:
    """Return whether a build has code that runs on a GPU.

    Args:
        architectures: what the build contains, in the compiler's names: ``sm_86`` is machine code,
            ``compute_86`` is PTX.
        capability: compute capability of the GPU, major and minor.
    """
    for architecture in architectures:
        found = _ARCHITECTURE.fullmatch(architecture)
        if found is None:
            continue
        kind, major, minor, only = found[1], int(found[2]), int(found[3]), found[4]
        built = (major, minor)
        # Code for the features of one architecture or family (90a, 120f) does not run on any later
        # one.
        later = capability[0] == major if kind == "sm" else not only
        if built == capability or (later and not only and built <= capability):
            return True
    return False
