from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from mfn_patcher.data.staging import staged
from mfn_patcher.errors import MfnPatchError

NAMES = ("a", "b")


def test_files_appear_at_the_end(tmp_path: Path) -> None:
    with staged(tmp_path / "new", NAMES, MfnPatchError) as staging:
        (staging / "a").write_text("1")
        assert not (tmp_path / "new" / "a").exists()
    # A name that was not written is not an error.
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def test_a_failure_removes_a_directory_of_its_own_only(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for directory in (tmp_path / "mine", tmp_path / "new"):
        with suppress(KeyError), staged(directory, NAMES, MfnPatchError) as staging:
            (staging / "a").write_text("1")
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_only_one_process_writes(tmp_path: Path) -> None:
    with (
        staged(tmp_path, NAMES, MfnPatchError) as staging,
        pytest.raises(MfnPatchError, match="another process is writing"),
        staged(tmp_path, NAMES, MfnPatchError),
    ):
        pass
    assert not staging.exists()
