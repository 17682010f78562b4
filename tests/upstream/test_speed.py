"""Our feed and our verification compute what upstream's do."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mfn_patcher.data.recordio import Index, RecordReader, RecordWriter, pack
from mfn_patcher.data.synth import synthesise
from mfn_patcher.data.verification_set import write_verification_set
from mfn_patcher.errors import ExitCode
from tests.support.odd_images import odd_images
from tests.support.records import spoil_image
from tests.support.tool import Tool, validated
from tests.support.upstream import ask

pytestmark = pytest.mark.mxnet


def test_verification(
    drawn: Path, patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    odd = list(odd_images().values())
    odd = odd[: len(odd) // 2 * 2]
    write_verification_set(tmp_path / "odd.bin", odd, [True] * (len(odd) // 2))
    sets = [drawn / "lfw.bin", tmp_path / "odd.bin"]
    outcomes = ask("both_verifications.py", patched / "src", training_environment, *sets)
    assert outcomes.pop("images") == [True] * 8
    different = {name: both for name, both in outcomes.items() if both[0] != both[1]}
    assert different == {}
    raised = {name: both[0] for name, both in outcomes.items() if isinstance(both[0], str)}
    assert raised == {
        "0 folds": "IndexError",
        "601 folds": "ValueError",
        "same only": "ZeroDivisionError",
        "different only": "ZeroDivisionError",
        "one fold of same only": "ZeroDivisionError",
        "halves": "ZeroDivisionError",
    }
    assert len(outcomes) == 21


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 27 images; tests must not change it."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    synthesise(folder, identities=3, images_per_identity=9, sets=["lfw"])
    return folder


@pytest.fixture
def data(drawn: Path, tmp_path: Path) -> Path:
    """The same in a folder of the test's own."""
    return Path(shutil.copytree(drawn, tmp_path / "data"))


def compare_batches(
    data: Path,
    patched: Path,
    environment: dict[str, str],
    *options: str,
    size: int = 4,
    broken: int = 0,
) -> int:
    """Assert that both iterators give the same; return in how many cases."""
    numbers = (str(size), str(broken))
    outcomes = ask("feed.py", patched / "src", environment, data, *numbers, *options)
    for case, (expected, *got) in outcomes.items():
        # Two epochs of 6 batches and their ends, and the next random number.
        assert len(expected) == 15, case
        assert all(each == expected for each in got), case
    return len(outcomes)


def test_batches(data: Path, patched: Path, training_environment: dict[str, str]) -> None:
    assert compare_batches(data, patched, training_environment) == 24


def test_batches_where_references_are_counted_differently(
    data: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    """Python 3.14 counts one less, for it lends what it passes to a function."""
    assert compare_batches(data, patched, training_environment, "1") == 4


def test_batches_with_a_broken_image(
    data: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    spoil_image(data, 10)
    assert compare_batches(data, patched, training_environment, broken=10) == 24


def test_batches_of_odd_images(
    tmp_path: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    images = list(odd_images().values())[:45]
    images[:20] = list(odd_images().values())[-20:]
    folder = tmp_path / "odd"
    folder.mkdir()
    with RecordWriter(folder / "train.rec", folder / "train.idx") as writer:
        writer.write(0, pack([46, 47], 0))
        for key, content in enumerate(images, start=1):
            writer.write(key, pack(key % 5, key, content))
        writer.write(46, pack([1, 46], 46))
    assert compare_batches(folder, patched, training_environment, size=7) == 24


def test_batches_of_a_file_without_identities(
    tmp_path: Path, data: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    """Then the iterator reads the file from its start to its end, unless it shuffles."""
    flat = tmp_path / "flat"
    flat.mkdir()
    index = Index.read(data / "train.idx")
    with (
        RecordReader(data / "train.rec") as reader,
        RecordWriter(flat / "train.rec", flat / "train.idx") as writer,
    ):
        for key in range(27):
            writer.write(key, reader.read(int(index.positions[1 + key])))
    assert compare_batches(flat, patched, training_environment) == 32


def tear(data: Path) -> str:
    """Take away what marks the beginning of records, from the tenth image on."""
    index = Index.read(data / "train.idx")
    with (data / "train.rec").open("r+b") as file:
        for position in index.positions[10:28]:
            file.seek(int(position))
            file.write(bytes(4))
    return r"train.rec cannot be trained on: no magic number at \d+, in the record at \d+"


def relabel(data: Path) -> str:
    """Give the images of a class a label that no class has."""
    (data / "property").write_text("2,112,112\n")
    return r"train.rec cannot be trained on: record \d+ has label 2, but .* 2 classes are 0 to 1"


def blank(data: Path) -> str:
    """Make every image one that cannot be decoded."""
    for key in range(1, 28):
        spoil_image(data, key)
    return r"train.rec cannot be trained on: none of these records can be decoded: \d+, "


def shrink(data: Path) -> str:
    """Say that images are of another size than they are."""
    (data / "property").write_text("3,111,111\n")
    return r"train.rec cannot be trained on: record \d+: the image is 112x112 pixels, not 111x111"


def script(data: Path) -> list[str]:
    """Return a command that trains, without verifying."""
    command = [sys.executable, "-u", "train_softmax.py", "--network", "y1", "--per-batch-size", "2"]
    places = ["--data-dir", str(data), "--prefix", str(data / "model" / "m")]
    return [*command, *places, "--target", ""]


@pytest.mark.parametrize("harm", [tear, shrink, relabel, blank])
def test_what_cannot_be_read_ends_the_training(
    harm: Callable[[Path], str], data: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    reason = harm(data)
    ran = subprocess.run(
        script(data),
        cwd=patched / "src",
        env=training_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert re.search(reason, ran.stderr.splitlines()[-1]), ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_interrupted_training_ends(
    data: Path, patched: Path, training_environment: dict[str, str]
) -> None:
    with subprocess.Popen(
        script(data),
        cwd=patched / "src",
        env=training_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout
        assert any(line.startswith("call reset()") for line in running.stdout)
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.wait(timeout=60) == -signal.SIGINT


def test_measuring_a_data_set_of_the_users(patched: Path, data: Path, tool: Tool) -> None:
    bench = ("bench", "feed", data, "--workspace", patched, "--seconds", "0.05")
    measured = validated(
        "bench-feed", tool(*bench, "--batch-size", "8", "--data-workers", "2", "--json").out
    )
    assert [feed["workers"] for feed in measured["feeds"]] == [2]
    assert measured["upstream"] > 0
    assert measured["file_bytes"] == (data / "train.rec").stat().st_size
    refused = tool(*bench, "--batch-size", "28", "--data-workers", "1")
    assert refused.code == ExitCode.ERROR
    assert "there are 27 images, too few for a batch of 28" in refused.err
    shown = tool(*bench, "--batch-size", "8", "--data-workers", "1").out.splitlines()
    assert [line.split("  ")[0] for line in shown[:4]] == [
        "images/s",
        "workers: 1",
        "upstream's iterator",
        "disk alone",
    ]


def test_every_kind_of_record(
    patched: Path, tmp_path: Path, training_environment: dict[str, str]
) -> None:
    program = """
import struct, sys
from mfn_trainer.recordio import RecordError, RecordReader, unpack
from mxnet import recordio
mark = struct.pack("<I", 0xced7230a)
contents = [b"", b"x", b"small" * 9, b"l" * 16352, b"l" * 16353, b"large" * 9999]
contents += [mark * 3, b"1234" + mark + b"5678", mark + b"parts" * 9999 + mark]
writer = recordio.MXIndexedRecordIO(sys.argv[1] + ".idx", sys.argv[1] + ".rec", "w")
headers = [(0, 7.5, 1, 2), (2, [3.0, 4.0], 5, 6)]
for key, (header, content) in enumerate((h, c) for h in headers for c in contents):
    writer.write_idx(key, recordio.pack(recordio.IRHeader(*header), content))
writer.close()
expected = recordio.MXIndexedRecordIO(sys.argv[1] + ".idx", sys.argv[1] + ".rec", "r")
reader = RecordReader(sys.argv[1] + ".rec")
for key in reversed(range(2 * len(contents))):
    record = unpack(reader.read(expected.idx[key]))
    header, content = recordio.unpack(expected.read_idx(key))
    assert content == contents[key % len(contents)] == record.content, key
    assert record.labels[0] == (7.5 if header.flag == 0 else 3.0), key
try:
    reader.read(reader.size)
except RecordError as error:
    assert "outside the file" in str(error)
else:
    raise AssertionError("there is a record behind the last one")
"""
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "r"],
        cwd=patched / "src",
        env=training_environment,
        check=True,
    )


def test_measuring_a_data_set_that_upstream_fails_on(patched: Path, data: Path, tool: Tool) -> None:
    records = data / "train.rec"
    content = bytearray(records.read_bytes())
    # Every other JPEG, so that even a slow machine comes to one.
    for start in [found.start() for found in re.finditer(rb"\xff\xd8\xff", content)][::2]:
        content[start : start + 100] = bytes(100)
    records.write_bytes(content)
    bench = ("bench", "feed", data, "--workspace", patched, "--seconds", "0.2", "--json")
    measured = validated("bench-feed", tool(*bench, "--batch-size", "8", "--data-workers", "1").out)
    assert measured["upstream"] is None
    assert "Decoding failed" in measured["upstream_error"]
    assert measured["feeds"][0]["feed"] > 0


def test_measuring_a_data_set_without_images(patched: Path, data: Path, tool: Tool) -> None:
    blank(data)
    bench = ("bench", "feed", data, "--workspace", patched, "--seconds", "0.1")
    ran = tool(*bench, "--batch-size", "8", "--data-workers", "1")
    assert ran.code == ExitCode.ERROR
    assert "none of these records can be decoded: " in ran.err
