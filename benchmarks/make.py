"""How fast a data set is made: `mfn-patch data make`, MXNet's im2rec, and the bare files.

    python benchmarks/make.py [IMAGES]

Images are JPEGs of about 9 KB, as in MS1M, in folders of 50, which the operating system has in
memory. im2rec decodes and encodes each image or, with --pass-through, does neither. "Copy" reads
all files and appends them to one; "decode" decodes them too, with one thread per core, and drops
the pixels. The programs' start is included. The interpreter needs MXNet.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from turns import TOOL, milliseconds, print_table, run, seconds, take_turns

from mfn_patcher.trainer.mfn_trainer.pixels import decode
from mfn_patcher.trainer.mfn_trainer.threads import cores

IMAGES, ROUNDS, SIDE, EACH = 20_000, 3, 112, 50


def draw(folder: Path, images: int) -> None:
    """Draw folders of JPEGs as large as those of MS1M, no two of which are equal."""
    drawn = np.random.default_rng(0)
    for number in range(images):
        person = folder / f"{number // EACH:05}"
        person.mkdir(parents=True, exist_ok=True)
        noise = drawn.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        blurred = cv2.GaussianBlur(noise, (0, 0), 1.2)
        image = cv2.normalize(blurred, np.empty_like(blurred), 0, 255, cv2.NORM_MINMAX)
        cv2.imwrite(str(person / f"{number % EACH:02}.jpg"), image)


def copy(folder: Path, out: Path) -> None:
    """Append all files to one."""
    with (out / "all").open("wb") as file:
        for path in sorted(folder.rglob("*.jpg")):
            file.write(path.read_bytes())


def decode_all(folder: Path, out: Path) -> None:
    """Decode all files as well, and drop the pixels."""
    copy(folder, out)
    with ThreadPoolExecutor(cores()) as pool:
        for img in pool.map(lambda path: decode(path.read_bytes()), sorted(folder.rglob("*.jpg"))):
            assert img is not None


def im2rec(folder: Path, out: Path, *options: str) -> None:
    """Make a list and pack it, as MXNet's documentation says."""
    package = importlib.util.find_spec("mxnet")
    assert package
    assert package.origin
    program = str(Path(package.origin).parent / "tools" / "im2rec.py")
    prefix = str(out / "train")
    run(sys.executable, program, prefix, str(folder), "--list", "--recursive")
    threads = ("--num-thread", str(cores()))
    run(sys.executable, program, prefix, str(folder), *threads, *options)


def measure(make: Callable[[Path, Path], object], folder: Path, place: Path) -> float:
    """Return how long it takes to make a data set in an empty folder."""
    out = place / "out"
    out.mkdir()
    took = seconds(partial(make, folder, out))
    shutil.rmtree(out)
    return took


def main() -> None:
    """Draw the images, measure and print the table."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    contenders: dict[str, Callable[[Path, Path], object]] = {
        "`data make`": lambda folder, out: run(TOOL, "data", "make", str(out), str(folder)),
        "im2rec": im2rec,
        "im2rec --pass-through": lambda folder, out: im2rec(folder, out, "--pass-through"),
        "copy": copy,
        "decode and copy": decode_all,
    }
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        draw(place / "faces", images)
        took = take_turns(
            {
                title: partial(measure, make, place / "faces", place)
                for title, make in contenders.items()
            },
            ROUNDS,
        )
    own = took["`data make`"]
    print_table(
        f"Making a data set of {images:,} images with {cores()} cores, median of {ROUNDS}",
        ("", "time", "images per second", "time relative to `data make`"),
        [
            (title, milliseconds(value), f"{images / value:,.0f}", f"{value / own:.2f}")
            for title, value in took.items()
        ],
    )


if __name__ == "__main__":
    main()
