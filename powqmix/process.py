"""What the processes of a run have in common: exit codes, and that none outlives the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 78  # configuration refused; never restarted
EXIT_INTERRUPTED = 130

_PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "POWQMIX_PARENT"  # pid of the launcher, in the environment of what it starts


def die_with_parent() -> None:
    """Has the kernel kill this process when the launcher ends, however it ends; nothing if there is no launcher.

    Called first thing by a process that the launcher starts. A parent that is gone already ends it at once.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(EXIT_FAILED)
