"""What the tests of the engine need of the interpreter, or are skipped without."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("mxnet") is None:
        without = pytest.mark.skip(reason="MXNet is not installed here")
        for item in items:
            if item.get_closest_marker("mxnet"):
                item.add_marker(without)
