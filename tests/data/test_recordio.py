from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfn_patcher.data.recordio import (
    Index,
    RecordIOError,
    RecordReader,
    RecordWriter,
    pack,
    unpack,
)
from mfn_patcher.trainer.mfn_trainer.recordio import MAGIC

payloads = st.lists(
    st.one_of(st.just(MAGIC), st.binary(max_size=9), st.sampled_from([MAGIC[:3], b"\0\0\0\0"])),
    max_size=8,
).map(b"".join)


def write(directory: Path, *contents: bytes) -> tuple[Path, list[int]]:
    path = directory / "a.rec"
    with RecordWriter(path, directory / "a.idx") as writer:
        return path, [writer.write(key, content) for key, content in enumerate(contents)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads, max_size=5))
def test_what_is_written_is_read(tmp_path: Path, contents: list[bytes]) -> None:
    path, positions = write(tmp_path, *contents)
    with RecordReader(path) as reader:
        assert list(reader) == list(zip(positions, contents))
        assert [reader.read(position) for position in reversed(positions)] == contents[::-1]
    # Readers never search for a record, so a payload may contain the magic number.
    words = np.frombuffer(path.read_bytes(), dtype="<u4")
    heads = np.flatnonzero(words == struct.unpack("<I", MAGIC)[0])
    flags = words[heads + 1] >> 29
    assert np.count_nonzero(flags <= 1) == len(contents)


def test_bytes_of_a_plain_record(tmp_path: Path) -> None:
    path, _ = write(tmp_path, b"abcde")
    assert path.read_bytes() == bytes.fromhex("0a23d7ce 05000000 6162636465 000000")
    assert (tmp_path / "a.idx").read_bytes() == b"0\t0\n"


def test_bytes_of_a_split_record(tmp_path: Path) -> None:
    path, _ = write(tmp_path, b"abcd" + MAGIC + MAGIC + b"e" + MAGIC)
    assert path.read_bytes() == bytes.fromhex(
        "0a23d7ce 04000020 61626364 0a23d7ce 00000040 0a23d7ce 05000060 65 0a23d7ce 000000"
    )


@given(
    st.one_of(
        st.integers(0, 1 << 24).map(float),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    ),
    st.integers(0, (1 << 64) - 1),
    st.binary(max_size=20),
)
def test_header(label: float | list[float], key: int, content: bytes) -> None:
    record = unpack(pack(label, key, content))
    labels = label if isinstance(label, list) else [label]
    assert record.flag == (len(label) if isinstance(label, list) else 0)
    assert (list(record.labels), record.id, record.content) == (labels, key, content)


def test_header_bytes() -> None:
    assert pack(3, 7, b"x") == struct.pack("<IfQQ", 0, 3.0, 7, 0) + b"x"
    assert pack([3, 4], 7) == struct.pack("<IfQQff", 2, 0.0, 7, 0, 3.0, 4.0)


@pytest.mark.parametrize("payload", [b"", b"\0" * 23, pack([1, 2], 0)[:-1]])
def test_short_payload(payload: bytes) -> None:
    with pytest.raises(RecordIOError, match="no room"):
        unpack(payload)


@pytest.mark.parametrize("kept", [4, 8, 11, 17])
def test_torn_record(tmp_path: Path, kept: int) -> None:
    path, positions = write(tmp_path, b"first", b"second!!!!")
    whole = path.read_bytes()
    path.write_bytes(whole[: positions[1] + kept])
    with RecordReader(path) as reader:
        assert reader.read(0) == b"first"
        with pytest.raises(RecordIOError, match=rf"the record at {positions[1]} is cut short"):
            reader.read(positions[1])


def test_corrupt_length_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(MAGIC + struct.pack("<I", (1 << 29) - 1) + b"little")
    tracemalloc.start()
    with RecordReader(path) as reader, pytest.raises(RecordIOError, match="cut short"):
        reader.read(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_bad_magic(tmp_path: Path) -> None:
    path, _ = write(tmp_path, b"first", b"second")
    with RecordReader(path) as reader, pytest.raises(RecordIOError, match="no magic number at 4,"):
        reader.read(4)


def test_position_within_a_record(tmp_path: Path) -> None:
    path, _ = write(tmp_path, b"abcd" + MAGIC + b"efgh")
    with RecordReader(path) as reader, pytest.raises(RecordIOError, match="12 is within a record"):
        reader.read(12)


def test_split_record_without_end(tmp_path: Path) -> None:
    path, _ = write(tmp_path, b"abcd" + MAGIC + b"efgh", b"next")
    content = path.read_bytes()
    path.write_bytes(content[:12] + content[24:])
    with RecordReader(path) as reader, pytest.raises(RecordIOError, match="0 has no last part"):
        reader.read(0)


def test_index_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.idx"
    path.write_text("7\t16\n0\t0\n3\t40\n")
    index = Index.read(path)
    assert index.keys.tolist() == [0, 3, 7]
    assert [index.position(key) for key in (0, 3, 7, 5, 8)] == [0, 40, 16, None, None]


@pytest.mark.parametrize(
    "text",
    ["", "0 0\n", "0\t0\n1\n", "0\t0\n\n", "a\t0\n", "0\t1.5\n", "0\té\n", "0\t" + "9" * 30],
)
def test_no_index(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.idx"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordIOError, match="is not a valid index"):
        Index.read(path)
