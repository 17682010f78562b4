from __future__ import annotations

from pathlib import Path

from mfn_patcher import trainer
from mfn_patcher.patching.series import load_series
from mfn_patcher.runs.code import Code, read_code
from tests.support.repositories import StandIn
from tests.support.tool import Tool


def test_the_chain_and_what_the_user_changed(tool: Tool, shipped: StandIn, tmp_path: Path) -> None:
    place = ("-w", tmp_path / "w", "--project", shipped.project)
    assert tool("apply", *place, "--upstream", shipped.upstream).code == 0
    code = read_code(tmp_path / "w")
    series = load_series(shipped.project)
    assert code.pin == series.pin
    assert [(link.patch, link.digest) for link in code.patches] == [
        (patch.name, patch.digest) for patch in series.patches
    ]
    assert code.commit == code.patches[-1].commit
    assert code.edits == b""
    assert code.has_hooks
    assert code.trainer_sha256 == trainer.digest()
    script = tmp_path / "w" / "src" / "train_softmax.py"
    script.write_text(script.read_text() + "# an idea\n")
    assert b"+# an idea\n" in read_code(tmp_path / "w").edits


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    assert read_code(tmp_path) == Code()
    assert not Code().has_hooks
