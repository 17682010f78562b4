"""Record the results of MXNet that the PyTorch engine is tested against; for maintainers.

    python -m tests.engine.record [WORKSPACE]

WORKSPACE is upstream with all patches, as `mfn-patch apply` leaves it. It is only needed to record
the digests of the script's symbols again, after a patch has changed a symbol; everything else
depends on MXNet and `programs/` alone. The interpreter must import MXNet itself, a CPU build.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.engine_children import ANSWERING, DATA, answer, run
from tests.support.operator_vectors import listing, load

NETWORKS = ("y1", "r50", "m1", "m2", "i2", "x1", "d121", "p92", "n1", "s20")
LOSSES = (0, 1, 2, 4, 5)
# Other arguments of the script that change a symbol.
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
    """Write one file of the recording."""
    (DATA / f"{name}.json").write_text(json.dumps(answered, indent=1) + "\n")


def main() -> None:
    """Record everything, or everything except the script's symbols."""
    DATA.mkdir(exist_ok=True)
    run("record_operators", DATA / "operators.npz", engine=False)
    (DATA / "operators.txt").write_text(listing(load(DATA / "operators.npz").values()))
    for program in (*ANSWERING, "devices"):
        write(program, answer(program, engine=False))
    if not sys.argv[1:]:
        return
    source = Path(sys.argv[1]) / "src"
    described = answer("symbols", engine=False, given=COMMANDS, folder=source)
    write("symbols", dict(zip(COMMANDS, described)))


if __name__ == "__main__":
    main()
