"""Which package the script calls, and how it is found."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from mfn_patcher import trainer
from mfn_patcher.trainer import FOLDER, digest


def test_the_folder_on_the_path_offers_nothing_else() -> None:
    """Or it would take the place of packages of the training interpreter."""
    found = {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"}
    assert found == {"__init__.py", "mfn_trainer"}


def test_the_digest_tells_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "trainer"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(trainer, "FOLDER", copy)
    original = digest()
    (copy / "mfn_trainer" / "__pycache__").mkdir()
    (copy / "mfn_trainer" / "__pycache__" / "feed.pyc").touch()
    assert digest() == original
    feed = copy / "mfn_trainer" / "feed.py"
    feed.write_bytes(b"#" + feed.read_bytes()[1:])
    changed = digest()
    feed.rename(feed.with_name("feeds.py"))
    assert len({original, changed, digest()}) == 3


def test_the_package_imports_nothing_of_the_tool() -> None:
    for path in (FOLDER / "mfn_trainer").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("mfn_patcher"), path
                assert node.level <= 1, path
            if isinstance(node, ast.Import):
                assert not any(each.name.startswith("mfn_patcher") for each in node.names), path
