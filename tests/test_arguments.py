"""The script's arguments, read as argparse reads them."""

from __future__ import annotations

import argparse

import pytest

from mfn_patcher.arguments import as_mapping, may_mean, pairs, value_of

TOKENS = ("train.py", "--lr", "-0.1", "--flag", "--ckpt=2", "--target", "", "--lr", "0.2", "--end")


def test_pairs() -> None:
    assert list(pairs(TOKENS)) == [
        ("--lr", "-0.1"),
        ("--flag", ""),
        ("--ckpt", "2"),
        ("--target", ""),
        ("--lr", "0.2"),
        ("--end", ""),
    ]


def test_the_last_of_several_counts_as_for_argparse() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--lr", "--ckpt", "--target"):
        parser.add_argument(name)
    for name in ("--flag", "--end"):
        parser.add_argument(name, action="store_true")
    parsed = vars(parser.parse_args(TOKENS[1:]))
    found = as_mapping(TOKENS)
    assert {name: found[f"--{name}"] for name in ("lr", "ckpt", "target")} == {
        name: parsed[name] for name in ("lr", "ckpt", "target")
    }
    assert value_of(TOKENS, "--lr") == "0.2"
    assert value_of(TOKENS, "--wd") is None


def test_a_flag_does_not_take_the_next_option_for_its_value() -> None:
    assert as_mapping(("--flag", "--seed", "1")) == as_mapping(("--flag",)) | {"--seed": "1"}


@pytest.mark.parametrize(
    ("token", "option", "means"),
    [
        ("--max", "--max-steps", True),
        ("--max-steps=3", "--max-steps", True),
        ("--max-steps-more", "--max-steps", False),
        ("--", "--max-steps", False),
        ("3", "--max-steps", False),
    ],
)
def test_a_shortened_option(token: str, option: str, means: bool) -> None:
    assert may_mean(token, option) is means
