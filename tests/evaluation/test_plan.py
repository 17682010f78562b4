"""What an evaluation checks before it starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mfn_patcher.data.verification_set import VerificationSetError, write_verification_set
from mfn_patcher.errors import MfnPatchError
from mfn_patcher.evaluation.plan import EvaluationError
from mfn_patcher.runs import record
from tests.support.evaluation import plan
from tests.support.runs import RECORD


def refused(kind: type[MfnPatchError], workspace: Path, **options: Any) -> MfnPatchError:
    with pytest.raises(kind) as caught:
        plan(workspace, **options)
    return caught.value


def record_run(workspace: Path, **fields: Any) -> None:
    folder = workspace / "runs" / f"{len(list(workspace.glob('runs/*')))}"
    folder.mkdir(parents=True)
    prefix = str(workspace / "models" / "m")
    defaults = {"prefix": prefix, "started": "2026-01-01T00:00:00+00:00", "ended": record.utc_now()}
    record.write(dataclasses.replace(RECORD, **{**defaults, **fields}), folder)


def test_defaults_are_the_documents(workspace: Path, data: Path) -> None:
    documented = workspace / "datasets" / "faces_ms1m_112x112"
    error = refused(EvaluationError, workspace)
    assert str(error) == f"no such folder: {documented}"
    documented.parent.mkdir()
    data.rename(documented)
    found = plan(workspace, devices="0")
    assert found.data_dir == documented
    assert list(found.sets) == ["lfw", "cfp_fp", "agedb_30"]
    assert (found.visible_devices, found.devices, found.batch_size) == ("0", 1, 512)
    assert found.batches == 2 * 3 * 2


def test_on_the_cpu_batches_are_small(workspace: Path, data: Path) -> None:
    found = plan(workspace, data_dir=data)
    assert (found.visible_devices, found.devices, found.batch_size) == ("", 0, 64)
    assert plan(workspace, data_dir=data, batch_size=512).batch_size == 512


def test_defaults_are_the_runs_that_saved_the_newest_checkpoint(
    workspace: Path, data: Path
) -> None:
    record_run(workspace, batch_size=48, data_dir=str(data))
    record_run(workspace, batch_size=3, prefix="/another/m")
    found = plan(workspace, devices="1,2")
    assert (found.batch_size, found.data_dir, found.devices) == (48, data, 2)
    assert any("as in" in note for note in found.notes)
    assert plan(workspace, batch_size=2).batch_size == 2


def test_a_run_at_work_counts_and_one_that_had_ended_does_not(workspace: Path, data: Path) -> None:
    record_run(workspace, batch_size=40, ended=None)
    assert plan(workspace, data_dir=data, devices="0").batch_size == 40
    record_run(workspace, batch_size=30, ended="2026-01-01T00:00:01+00:00")
    assert plan(workspace, data_dir=data, devices="0").batch_size == 40


def test_checkpoints_that_a_later_run_set_aside(workspace: Path, data: Path) -> None:
    record_run(workspace, batch_size=40)
    aside = workspace / "models" / "m.20260101T000000"
    now = record.utc_now()
    aside.mkdir()
    record_run(workspace, batch_size=20, archive=str(aside), started=now)
    (workspace / "models" / "m-0001.params").rename(aside / "m-0001.params")
    (aside / "m-symbol.json").touch()
    found = plan(workspace, which="models/m.20260101T000000/m,1", data_dir=data, devices="0")
    assert found.batch_size == 40


def test_a_batch_that_is_too_small(workspace: Path, data: Path) -> None:
    settings: dict[str, Any] = {"data_dir": data, "batch_size": 2}
    error = refused(EvaluationError, workspace, devices="0,1,2", **settings)
    assert str(error) == "cannot split a batch of 2 over 3 GPUs"
    assert plan(workspace, devices="0,1", **settings).devices == 2


def test_without_a_workspace(workspace: Path, data: Path, tmp_path: Path) -> None:
    found = plan(tmp_path / "nowhere", which=str(workspace / "models" / "m"), data_dir=data)
    assert list(found.model.checkpoints) == [1, 2]


def test_targets(workspace: Path, data: Path) -> None:
    (data / "cfp_fp.bin").rename(data / "calfw.bin")
    found = plan(workspace, data_dir=data, targets="calfw, lfw,lfw")
    assert list(found.sets) == ["calfw", "lfw"]
    found = plan(workspace, data_dir=data)
    assert list(found.sets) == ["lfw", "agedb_30"]
    assert any("skipped cfp_fp: " in note for note in found.notes)


def test_unknown_targets(workspace: Path, data: Path, tmp_path: Path) -> None:
    error = refused(EvaluationError, workspace, data_dir=data, targets="lfw,megaface")
    assert str(error) == f"{data} has no megaface.bin"
    assert error.remedy == "Available: --target agedb_30,cfp_fp,lfw"
    assert "--target ',' names no" in str(
        refused(EvaluationError, workspace, data_dir=data, targets=",")
    )
    error = refused(EvaluationError, workspace, data_dir=tmp_path)
    assert str(error) == f"{tmp_path} has no verification sets"
    assert "--data-dir" in error.remedy


def test_sets_that_carry_code_are_refused(workspace: Path, data: Path) -> None:
    (data / "lfw.bin").write_bytes(b"\x80\x02cposix\nsystem\n.")
    error = refused(VerificationSetError, workspace, data_dir=data)
    assert "posix.system" in str(error)
    plan(workspace, data_dir=data, targets="cfp_fp")


def test_sets_that_do_not_fit(workspace: Path, data: Path) -> None:
    images = [b"no picture"] * 40
    write_verification_set(data / "lfw.bin", images, [True, False] * 10)
    write_verification_set(data / "cfp_fp.bin", images[:-1], [True, False] * 10)
    message = str(refused(EvaluationError, workspace, data_dir=data))
    assert f"{data / 'lfw.bin'}: " in message
    assert "cfp_fp.bin: 39 images for 20 pairs, which need 40" in message
