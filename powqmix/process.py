"""What the processes of a run share: exit codes, logs, stopping when told, and that none outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from types import FrameType

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 78  # configuration refused; never restarted
EXIT_INTERRUPTED = 130

ACTOR_NICENESS = 5
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
PARENT_VARIABLE = "POWQMIX_PARENT"  # pid of the launcher, in the environment of what it starts
RUNS_VARIABLE = "POWQMIX_RUNS"  # how many runs share this machine, told by whoever started them


def runs_here() -> int:
    """How many runs share this machine's cores and memory; 1 unless whoever started them says otherwise."""
    told = os.environ.get(RUNS_VARIABLE, "")
    return max(1, int(told)) if told.isdecimal() else 1


def available_cores() -> int:
    """Cores that a run may count on: those this process may use, or its share of them; one at least."""
    return max(1, len(os.sched_getaffinity(0)) // runs_here())


def give_way() -> None:
    """Lets the learner go first where it wants the same core: actors can wait, and have something to wait for."""
    os.nice(ACTOR_NICENESS)


def keep_freed_memory() -> None:
    """Has glibc keep what is freed, for the next update; nothing under another C library.

    An update frees large tensors and asks for the same sizes again. Given back to the system in between, each of their
    pages costs a fault and a cleaning, which took several times as long as what was computed in them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 * 2**20)


def die_with_parent() -> None:
    """Has the kernel kill this process when the launcher ends, however it ends; nothing if there is no launcher.

    Called first thing by a process that the launcher starts. A parent that is gone already ends it at once.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(EXIT_FAILED)


class StopFlag:
    """True once SIGTERM came. SIGINT is left to the launcher, which owns Ctrl-C and drains its children in order."""

    def __init__(self) -> None:
        self._stopped = False

    def install(self) -> None:
        """Takes over both signals; main thread only."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def set(self) -> None:
        self._stopped = True

    def __bool__(self) -> bool:
        return self._stopped

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._stopped = True


class Log:
    """Lines on stderr: time, who, what."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, text: str) -> None:
        line = " ".join(text.split())  # an exception's text may span lines
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {self.name}: {line}", file=sys.stderr, flush=True)
