"""Becomes another program that dies with the process that started it.

python bound.py PARENT PROGRAM ARGUMENTS...
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
# It may have died before it was asked for.
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")
os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
