"""What a check found: one line of the report, and the remedy."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

OK, MISSING, WRONG = "ok", "missing", "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `required`: training does not work unless it is ok."""

    name: str
    status: str
    text: str
    remedy: str = ""
    required: bool = False


def size(nbytes: float) -> str:
    """Bytes for people."""
    return f"{nbytes / 1e9:.1f} GB"


def output(*command: str) -> str:
    """What a program prints; "" where it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
