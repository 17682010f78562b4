"""Running upstream's ``main()`` up to ``Module.fit``, to see what it would train."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfn_patcher.children import programs
from mfn_patcher.children.failure import explain
from mfn_patcher.data.property_file import write_property
from mfn_patcher.data.synth import synthesise
from mfn_patcher.errors import ExitCode, MfnPatchError
from mfn_patcher.progress import task


class DryRunError(MfnPatchError):
    """The code does not reach ``Module.fit``."""

    exit_code = ExitCode.VERIFICATION


def ask(
    source: Path,
    python: str,
    environment: Mapping[str, str],
    cases: Sequence[Sequence[str]],
    *,
    classes: int = 2,
    program: str = "dry_run",
    options: Sequence[str] = (),
    data_dir: Path | None = None,
) -> Any:
    """Run ``main()`` up to ``Module.fit`` for each of several argument lists.

    Whatever the arguments say, it starts from random parameters and saves nothing.

    Args:
        source: folder of the training script.
        python: path of the training interpreter.
        environment: environment variables of the script.
        cases: argument lists of the script.
        classes: number of identities that the data set claims to have, the width of the last layer.
        program: program that runs the script and reports what ``Module.fit`` is called with.
        options: further arguments of the program.
        data_dir: absolute path of the data set; by default a tiny one that is made for it.

    Returns:
        The report of the program.

    Raises:
        DryRunError: The program ended without a report.
    """
    with tempfile.TemporaryDirectory(prefix="mfn-patch-") as name:
        folder = Path(name)
        data, output = data_dir or folder / "data", folder / "report.json"
        if data_dir is None:
            synthesise(data, identities=2, images_per_identity=2, sets=())
            write_property(data, classes)
        # The script uses the last value of an argument.
        own = ["--data-dir", str(data), "--prefix", str(folder / "model" / "model")]
        own += ["--pretrained", "", "--target", ""]
        with task(programs.TASKS[program]):
            ran = subprocess.run(
                programs.command(python, program, str(output), *options),
                cwd=source,
                env=dict(environment),
                input=json.dumps([[*case, *own] for case in cases]),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        if not output.exists():
            lines = ran.stderr.splitlines()[-15:]
            failure = explain(lines, edited=False, arguments=False)
            if failure:
                raise DryRunError(f"the script failed: {failure.what}", remedy=failure.remedy)
            said = "\n".join(lines)
            raise DryRunError(f"{python} ended with status {ran.returncode}:\n{said}")
        return json.loads(output.read_text())
