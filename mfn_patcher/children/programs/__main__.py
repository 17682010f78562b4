"""Run a program of this package: python PROGRAMS NAME ARGUMENTS...

The folder that holds ``mfn_patcher`` may also hold the tool's dependencies, in versions that do not
suit the training interpreter. It is therefore not put on the search path: the package alone is
found there.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path


def main() -> None:
    """Run the program that the command line names, with the other arguments."""
    # Modules of this folder must not hide upstream's or those of installed packages.
    del sys.path[0]
    package = types.ModuleType("mfn_patcher")
    package.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["mfn_patcher"] = package
    _, name, *arguments = sys.argv
    program = importlib.import_module(f"mfn_patcher.children.programs.{name}")
    sys.argv = [str(program.__file__), *arguments]
    program.main()


if __name__ == "__main__":
    main()
