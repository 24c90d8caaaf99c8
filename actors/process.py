"""What makes a process a well-behaved child: it ends with its parent, stops when told, and logs one line a fact."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from types import FrameType

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 78  # configuration refused: a supervisor does not start it again

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends. Linux only; elsewhere it does nothing.

    Exits at once if the parent was gone before the request was in place.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
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


def resident_bytes() -> int:
    """Memory this process holds, in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
