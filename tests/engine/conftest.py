"""What the tests of the engine need of the interpreter, or are skipped without."""

from __future__ import annotations

import importlib.util

import pytest

NAMES = {"mxnet": "MXNet", "torch": "PyTorch"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for package, name in NAMES.items():
        if importlib.util.find_spec(package) is None:
            without = pytest.mark.skip(reason=f"{name} is not installed here")
            for item in items:
                if item.get_closest_marker(package):
                    item.add_marker(without)
