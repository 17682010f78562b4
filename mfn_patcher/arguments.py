"""The command-line arguments of upstream's script, read from a list of tokens.

Every other module asks this one, so all of them agree on what a command line says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_PREFIX = "--"


def pairs(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, in order; the value of a flag is empty.

    Args:
        tokens: arguments of the script, such as ``("--lr", "0.1", "--ckpt=2")``.
    """
    for token, following in zip(tokens, (*tokens[1:], "")):
        name, equals, value = token.partition("=")
        if not name.startswith(_PREFIX):
            continue
        if equals:
            yield name, value
        else:
            yield name, "" if following.startswith(_PREFIX) else following


def as_mapping(tokens: Sequence[str]) -> dict[str, str]:
    """Return the value of each option; the last one counts, as argparse has it."""
    return dict(pairs(tokens))


def value_of(tokens: Sequence[str], option: str) -> str | None:
    """Return the value that the script takes for an option; None if it is not given."""
    return as_mapping(tokens).get(option)


def may_mean(token: str, option: str) -> bool:
    """Return whether argparse can take a token for an option, which it also does if shortened."""
    name = token.partition("=")[0]
    return len(name) > len(_PREFIX) and option.startswith(name)
