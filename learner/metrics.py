"""What a run reports while it goes: metrics.jsonl, status.json, rates, and which side limits.

A line of metrics.jsonl is one interval. Fields that read a clock are named in CLOCK_FIELDS: two lockstep runs of one
seed agree in everything else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

CLOCK_FIELDS = ("time", "wall_time_s", "env_steps_per_second", "updates_per_second")


class MetricsLog:
    """Appends lines to metrics.jsonl, each flushed: a killed run keeps what it reported."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def truncate_after(path: Path, env_steps: int) -> None:
    """Drops the lines past `env_steps`, and a torn last one: a resumed run writes those steps again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            break
        if values.get("env_steps", 0) > env_steps:
            break
        kept.append(line + "\n")
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)


@dataclass
class Rate:
    """Units a second between two calls, on the monotonic clock."""

    count: int = 0
    at: float = field(default_factory=time.monotonic)

    def since_last(self, count: int) -> float:
        now = time.monotonic()
        rate = (count - self.count) / max(now - self.at, 1e-9)
        self.count, self.at = count, now
        return rate


def bottleneck(learner_waiting: float, actors_stalled: float) -> str:
    """The side that limits, from the shares of time the learner waited for episodes and the actors for credit.

    A learner that hardly waits is the limit. If it waits while the actors do not, they are. If both wait for each
    other, it is what lies between them.
    """
    if learner_waiting < 0.1:
        return "learner"
    return "actors" if actors_stalled < 0.1 else "transport"
