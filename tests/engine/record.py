"""Record what MXNet answers, which the engine on PyTorch is held to; for maintainers.

    python -m tests.engine.record WORKSPACE

WORKSPACE is upstream with all patches, as `mfn-patch apply` leaves it: the digests of the script's
symbols change with patches that change a symbol. The rest depends on MXNet and `programs/` alone.
What the interpreter imports as mxnet must be MXNet itself, on the CPU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.engine_children import ANSWERING, DATA, answer, run

NETWORKS = ("y1", "r50", "m1", "m2", "i2", "x1", "d121", "p92", "n1", "s20")
LOSSES = (0, 1, 2, 4, 5)
# What else the script's arguments make of a symbol.
VARIANTS = (
    *(
        f"--network {network} --loss-type 4"
        for network in ("r18", "r34", "r101", "d169", "p68", "s36", "s64")
    ),
    *(f"--network r50 --loss-type 4 --version-output {kind}" for kind in (*"ABCDFGHIJ", "AX")),
    *(
        f"--network {network} --loss-type 4 --version-unit {unit}"
        for network in ("r18", "r50")
        for unit in (1, 2, 4)
    ),
    *(
        f"--network {network} --loss-type 4 --version-input 0"
        for network in ("r50", "m1", "i2", "d121", "p92")
    ),
    "--network r50 --loss-type 4 --version-se 1",
    "--network r50 --loss-type 4 --version-act relu",
    "--network y1 --loss-type 4 --easy-margin 1",
    "--network y1 --loss-type 4 --margin-s 128 --margin-m 0.35 --bn-mom 0.997",
    "--network y1 --loss-type 4 --wd 0.00004 --fc7-wd-mult 10 --fc7-lr-mult 2",
    "--network y1 --loss-type 5 --margin-a 0.9 --margin-m 0.4 --margin-b 0.15",
    "--network y1 --loss-type 5 --margin-m 0 --margin-b 0.35",
    "--network y1 --loss-type 5 --margin-m 0",
)
COMMANDS = [
    *(f"--network {network} --loss-type {loss}" for network in NETWORKS for loss in LOSSES),
    *VARIANTS,
]


def write(name: str, answered: object) -> None:
    """Write a file of the recording."""
    (DATA / f"{name}.json").write_text(json.dumps(answered, indent=1) + "\n")


def main() -> None:
    """Record all."""
    DATA.mkdir(exist_ok=True)
    run("record_operators", DATA / "operators.npz", engine=False)
    for program in ANSWERING:
        write(program, answer(program, engine=False))
    source = Path(sys.argv[1]) / "src"
    described = answer("symbols", engine=False, given=COMMANDS, folder=source)
    write("symbols", dict(zip(COMMANDS, described)))


if __name__ == "__main__":
    main()
