from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mfn_patcher.data.recordio import Index, RecordReader, RecordWriter, pack, unpack
from mfn_patcher.trainer.mfn_trainer.recordio import MAGIC

pytestmark = [
    pytest.mark.mxnet,
    pytest.mark.skipif(importlib.util.find_spec("mxnet") is None, reason="needs MXNet"),
]

PAYLOADS = [
    b"",
    b"a",
    b"abcd",
    MAGIC,
    MAGIC * 3,
    b"abcd" + MAGIC + b"efg",
    b"abc" + MAGIC + b"d",
    b"abcd" + MAGIC,
    MAGIC[:3],
    bytes(range(256)) * 9,
]

READ = """
import json, sys
from mxnet import recordio
records = recordio.MXIndexedRecordIO(sys.argv[1] + '.idx', sys.argv[1] + '.rec', 'r')
print(json.dumps([[key, records.read_idx(key).hex()] for key in records.keys]))
"""

UNPACK = """
import json, numbers, sys
from mxnet import recordio
records = recordio.MXIndexedRecordIO(sys.argv[1] + '.idx', sys.argv[1] + '.rec', 'r')
found = []
for key in records.keys:
    header, content = recordio.unpack(records.read_idx(key))
    one = isinstance(header.label, numbers.Number)
    labels = [header.label] if one else header.label.tolist()
    found.append([header.flag, labels, header.id, content.hex()])
print(json.dumps(found))
"""

WRITE = """
import json, sys
from mxnet import recordio
records = recordio.MXIndexedRecordIO(sys.argv[1] + '.idx', sys.argv[1] + '.rec', 'w')
payloads = [bytes.fromhex(payload) for payload in json.loads(sys.argv[2])]
payloads.append(recordio.pack(recordio.IRHeader(0, 3.0, 7, 0), b'content'))
payloads.append(recordio.pack(recordio.IRHeader(2, [21.0, 25.0], 0, 0), b''))
for key, payload in enumerate(payloads):
    records.write_idx(key, payload)
records.close()
"""


def run(program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    ).stdout


def test_mxnet_reads_ours(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "a.rec", tmp_path / "a.idx") as writer:
        for key, payload in enumerate(PAYLOADS):
            writer.write(key, payload)
    read = json.loads(run(READ, str(tmp_path / "a")))
    assert read == [[key, payload.hex()] for key, payload in enumerate(PAYLOADS)]


def test_mxnet_reads_the_synthetic_set(pristine: Path) -> None:
    found = json.loads(run(UNPACK, str(pristine / "train")))
    with RecordReader(pristine / "train.rec") as reader:
        records = [unpack(payload) for _, payload in reader]
    assert found == [[r.flag, list(r.labels), r.id, r.content.hex()] for r in records]


def test_ours_reads_mxnets(tmp_path: Path) -> None:
    run(WRITE, str(tmp_path / "a"), json.dumps([payload.hex() for payload in PAYLOADS]))
    expected = [*PAYLOADS, pack(3, 7, b"content"), pack([21, 25], 0)]
    index = Index.read(tmp_path / "a.idx")
    with RecordReader(tmp_path / "a.rec") as reader:
        assert [reader.read(position) for position in index.positions.tolist()] == expected
    with RecordWriter(tmp_path / "b.rec", tmp_path / "b.idx") as writer:
        for key, payload in enumerate(expected):
            writer.write(key, payload)
    for suffix in (".rec", ".idx"):
        theirs, ours = ((tmp_path / name).with_suffix(suffix) for name in ("a", "b"))
        assert theirs.read_bytes() == ours.read_bytes()
