from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from mfn_patcher.trainer import FOLDER
from mfn_patcher.trainer.mfn_trainer import arguments
from mfn_patcher.trainer.mfn_trainer.threads import cores, default_workers


def parse(*tokens: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_softmax.py")
    parser.add_argument("--lr", type=float, default=0.1)
    sys.argv[1:] = tokens
    return arguments.parse(parser)


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train_softmax.py"])


def test_defaults_change_nothing() -> None:
    assert vars(parse()) == {
        "lr": 0.1,
        "seed": None,
        "resume": 0,
        "keep": 0,
        "keep_always": "",
        "data_workers": default_workers(),
        "prefetch": 4,
        "kvstore": "device",
        "progress": "",
        "precision": "fp32",
        "compile": "auto",
    }


def test_values_have_types() -> None:
    args = parse("--seed", "7", "--keep", "3", "--kvstore", "dist_sync", "--data-workers", "0")
    assert (args.seed, args.keep, args.kvstore, args.data_workers) == (7, 3, "dist_sync", 0)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--kvstore", "dist_sync"], "--kvstore dist_sync requires --seed"),
        (["--kvstore", "local"], "invalid choice: 'local'"),
        (["--sed", "7"], "unrecognized arguments: --sed 7"),
    ],
)
def test_usage_errors(tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*tokens)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_may_change() -> None:
    for option in ("--data-workers", "--prefetch", "--max-steps", "--keep-always", "--data-w"):
        assert arguments.may_change_on_resume(option)
    for option in ("--data-workers", "--prefetch", "--data-dir", "--pretrained", "--prefe"):
        assert arguments.may_differ_between_workers(option)
    for option in ("--lr", "--seed", "--verbose", "--per-batch-size"):
        assert not arguments.may_change_on_resume(option)
        assert not arguments.may_differ_between_workers(option)
    assert not arguments.may_differ_between_workers("--max-steps")


def test_what_may_change_is_named_as_the_script_names_it() -> None:
    assert arguments.option_of("keep_always") == "--keep-always"
    ours = {argument.option for argument in arguments.ARGUMENTS}
    listed = arguments.MAY_CHANGE_ON_RESUME | arguments.MAY_DIFFER_BETWEEN_WORKERS
    # The others are upstream's.
    assert listed - ours == {
        "--ckpt",
        "--data-dir",
        "--end-epoch",
        "--max-steps",
        "--prefix",
        "--pretrained",
        "--target",
    }


@pytest.mark.parametrize(("available", "workers"), [(1, 1), (4, 4), (64, 8)])
def test_threads(available: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(available)))
    assert (cores(), default_workers()) == (available, workers)


@pytest.mark.parametrize("module", ["arguments", "layout", "recordio", "threads"])
def test_what_the_tool_imports_is_light(module: str) -> None:
    """And needs neither the tool nor a package that is not in the standard library."""
    program = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import mfn_trainer.{module}"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{program}; print(*sys.modules)"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert not {"mfn_patcher", "numpy", "mxnet", "torch"}.intersection(ran.stdout.split())
