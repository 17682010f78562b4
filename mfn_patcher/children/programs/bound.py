"""Replace this process with a program that the kernel kills when its parent process ends.

python bound.py PARENT PROGRAM ARGUMENTS...
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
# The parent may have ended before the call above.
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")
os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
