from __future__ import annotations

import os
from pathlib import Path

from mfn_patcher.training.watch.progress import WorkerProgress, read_progress


def test_progress_is_read_from_one_line(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    file.touch()
    descriptor = os.open(file, os.O_RDONLY)
    assert read_progress(descriptor) is None
    for text, found in (
        ("", None),
        ("1 17", None),
        ("1 17 compute", None),
        ("1 17 compute 5 9".ljust(79) + "\n", WorkerProgress(17, "compute", 5, 9)),
    ):
        file.write_text(text)
        assert read_progress(descriptor) == found
    file.unlink()
    assert read_progress(descriptor) == WorkerProgress(17, "compute", 5, 9), "it is open"
    os.close(descriptor)
    assert read_progress(descriptor) is None
