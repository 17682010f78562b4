"""Tracebacks of the script, summarised in one sentence."""

from __future__ import annotations

import pytest

from mfn_patcher.children.failure import explain

TRACEBACK = """testing verification..
Traceback (most recent call last):
  File "/w/src/train_softmax.py", line 562, in <module>
    main()
  File "/w/src/train_softmax.py", line 559, in main
    train_net(args, workers)
{}
"""


def tail(raised: str) -> list[str]:
    return TRACEBACK.format(raised).splitlines()[-15:]


@pytest.mark.parametrize(
    ("raised", "what", "remedy"),
    [
        ("MemoryError", "MemoryError", "--batch-size"),
        (
            "mxnet.base.MXNetError: Traceback (most recent call last):\n"
            '  File "../src/storage/./pooled_storage_manager.h", line 187\n'
            "MXNetError: Check failed: e == cudaSuccess: cudaMalloc retry failed: out of memory",
            "MXNetError: Check failed: e == cudaSuccess: cudaMalloc retry failed: out of memory",
            "--batch-size",
        ),
        (
            "OSError: [Errno 28] No space left on device: '/m/x'",
            "OSError: [Errno 28] No space left on device: '/m/x'",
            "Free some disk space",
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/m'",
            "FileNotFoundError: [Errno 2] No such file or directory: '/m'",
            "removed during training",
        ),
        ("PermissionError: [Errno 13] Permission denied: '/m'", "PermissionError: [Errno 13] "
         "Permission denied: '/m'", "owner and permissions"),
        ("ModuleNotFoundError: No module named 'cv2'", "ModuleNotFoundError: No module named 'cv2'",
         "mfn-patch doctor"),
        ("mxnet.base.MXNetError: MXNetError: Check failed: CUDA: unknown error", "MXNetError: "
         "Check failed: CUDA: unknown error", "--cpu"),
        ("ValueError: cannot decode image 7", "ValueError: cannot decode image 7", "data check"),
        ("KeyError: 'foo'", "KeyError: 'foo'", "doctor"),
    ],
)  # fmt: skip
def test_the_exception_and_what_helps(raised: str, what: str, remedy: str) -> None:
    found = explain(tail(raised), edited=False, arguments=False)
    assert found is not None
    assert found.what == what
    assert remedy in found.remedy


def test_what_the_user_has_changed_is_named_first() -> None:
    found = explain(tail("NameError: name 'x' is not defined"), edited=True, arguments=True)
    assert found is not None
    assert "mfn-patch diff --local" in found.remedy
    assert "after --" in found.remedy
    found = explain(tail("MemoryError"), edited=True, arguments=True)
    assert found is not None
    assert "diff" not in found.remedy


def test_the_argument_parser() -> None:
    lines = ["usage: train_softmax.py [-h]", "train_softmax.py: error: argument --lr: invalid"]
    found = explain(lines, edited=False, arguments=True)
    assert found is not None
    assert found.what == "argument --lr: invalid"


@pytest.mark.parametrize(
    "lines", [[], ["it went wrong"], ["MemoryError"], ["checkpoint 2 of m cannot be saved"]]
)
def test_what_has_no_traceback_speaks_for_itself(lines: list[str]) -> None:
    assert explain(lines, edited=False, arguments=False) is None


@pytest.mark.parametrize(
    ("sentence", "remedy"),
    [
        (
            "/d/train.rec cannot be trained on: record 7 has label 4, but the labels of 4 classes "
            "are 0 to 3",
            '"mfn-patch data check" says more',
        ),
        (
            "training cannot start from /m/x-0001.params: it belongs to another network: 2 of 9 "
            "parameters do not fit, the first is a (1 x 2 here, missing in the checkpoint)",
            "name another checkpoint with --pretrained",
        ),
        ("image 3 of /d/lfw.bin cannot be decoded", "replace it, or verify without this file"),
        (
            "/d/lfw.bin cannot be read as a verification set: pickle data was truncated",
            "copy it again, or verify without it",
        ),
        (
            "/d/lfw.bin names posix.system, which no verification set needs: nothing was loaded",
            "get the file from a source that you trust",
        ),
    ],
)
def test_the_sentences_of_the_patches(sentence: str, remedy: str) -> None:
    found = explain(["call reset()", f"{sentence}; {remedy}"], edited=True, arguments=True)
    assert found is not None
    assert found.what == sentence
    assert found.remedy == f"{remedy[0].upper()}{remedy[1:]}."
