from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfn_patcher.trainer.mfn_trainer import layout


def test_names(tmp_path: Path) -> None:
    prefix = f"{tmp_path}/models/m"
    assert layout.checkpoint_file(prefix, 7, layout.PARAMETERS).name == "m-0007.params"
    assert layout.checkpoint_file(prefix, 12345, layout.MANIFEST).name == "m-12345.json"
    assert layout.symbol_file(prefix).name == "m-symbol.json"
    assert layout.partial_file(layout.symbol_file(prefix)).name == "m-symbol.json.partial"
    assert layout.find_files(prefix) == {}


def test_files_of_a_prefix(tmp_path: Path) -> None:
    names = ["m-0002.json", "m-0002.params", "m-10000.states", "m-0001.params.partial"]
    others = ["m-1.params", "m-symbol.json", "mm-0001.params", "m-0003.txt", "x-m-0001.params"]
    for name in names + others:
        (tmp_path / name).touch()
    found = layout.find_files(tmp_path / "m")
    assert {number: sorted(files) for number, files in found.items()} == {
        2: ["json", "params"],
        10000: ["states"],
    }
    assert found[2]["json"] == tmp_path / "m-0002.json"
    assert list(layout.find_files(tmp_path / "m", layout.PARTIAL)) == [1]


def test_a_prefix_without_a_name(tmp_path: Path) -> None:
    """As upstream's script takes `--prefix ../models/`."""
    assert layout.checkpoint_file(f"{tmp_path}/", 1, "params") == tmp_path / "-0001.params"
    (tmp_path / "-0001.params").touch()
    assert list(layout.find_files(f"{tmp_path}/")) == [1]


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10000])
def test_damaged_manifests(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m-0001.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 (json raises one of its own)
        layout.read_manifest(path)


def test_what_is_kept(tmp_path: Path) -> None:
    """The last two, the best of each set (of equals the last), one by name, and what is not its."""
    prefix = tmp_path / "model+"
    accuracies = {1: (0.5, 0.5), 2: (0.9, 0.5), 3: (0.6, 0.7), 4: (0.6, 0.7), 5: (0.5, 0.6)}
    for number in range(1, 10):
        for kind in ("params", "states"):
            Path(f"{prefix}-{number:04d}.{kind}").write_text("x")
        lfw, agedb = accuracies.get(number, (0.5, 0.5))
        manifest = json.dumps({"verification": {"lfw": lfw, "agedb_30": agedb}})
        if number != 6:
            Path(f"{prefix}-{number:04d}.json").write_text(manifest)
    Path(f"{tmp_path}/model+x-0001.json").write_text(manifest)
    layout.remove_old(prefix, 8, 2, {3})
    assert list(layout.find_files(prefix)) == [2, 3, 4, 6, 7, 8, 9]
    assert len(list(tmp_path.glob("model+-*.states"))) == 7
    assert len(list(tmp_path.glob("model+-*.json"))) == 6
    assert (tmp_path / "model+x-0001.json").exists()
