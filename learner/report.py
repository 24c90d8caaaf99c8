"""What a run tells about itself: lines of metrics.jsonl, status.json for the display, counters for the summary."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from powqmix.files import write_json

from .metrics import MetricsLog, Rate, bottleneck
from .tensorboard import TensorBoard
from .testing import TestResult

# Counters that a resumed run goes on from. `stored` is not among them: the ring itself knows it.
CARRIED = ("rejected", "duplicated", "lost")


class Report:
    """Owned by the learner's main thread.

    Counters of this process come from the receiver. Those of the run's earlier processes come from the checkpoint
    (`carried`), and from the ring what it held when this process took it up: episodes that an earlier process counted
    as sent are those it stored, rejected or had twice.
    """

    def __init__(self, run_dir: Path, *, env_steps: int, updates: int, stored: int, carried: Mapping[str, Any]) -> None:
        self._run_dir = run_dir
        self._log = MetricsLog(run_dir / "metrics.jsonl")
        self._board = TensorBoard(run_dir / "tensorboard", env_steps)
        self._stored_before = stored
        self._carried = {name: int(carried.get(name, 0)) for name in CARRIED}
        self._wall_before = float(carried.get("wall_time_s", 0.0))
        self._started = time.monotonic()
        self._step_rate, self._update_rate = Rate(env_steps), Rate(updates)
        self._first_env_steps, self._first_updates = env_steps, updates
        self._waited = 0.0
        self._waited_at = self._started
        self._stalled_s = 0.0
        self._all_waited = 0.0  # seconds of the learner, since it started
        self._all_stalled = 0.0  # seconds of the mean actor
        self.waiting = 0.0  # share of the last interval in which the learner waited for episodes
        self.stalled = 0.0  # share in which the actors waited for credit
        self.last: dict[str, Any] = {}  # the newest line

    @property
    def wall_time_s(self) -> float:
        """Seconds of all this run's processes together."""
        return self._wall_before + time.monotonic() - self._started

    def waited(self, seconds: float) -> None:
        """The main thread had nothing to do for so long."""
        self._waited += seconds
        self._all_waited += seconds

    def carried(self, received: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint keeps so that the next process counts on."""
        return {name: self._carried[name] + int(received[name]) for name in CARRIED} | {"wall_time_s": self.wall_time_s}

    def counters(self, received: Mapping[str, Any]) -> dict[str, int]:
        """Episode counters of the whole run, named as in summary.json."""
        before = self._stored_before + sum(self._carried.values())
        counts = {"sent": before + int(received["sent"]), "stored": self._stored_before + int(received["stored"])}
        counts |= {name: self._carried[name] + int(received[name]) for name in CARRIED}
        return {f"episodes_{name}": count for name, count in counts.items()}

    def rates(self, env_steps: int, updates: int) -> dict[str, float]:
        """Means of this process so far."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        return {
            "env_steps_per_second": round((env_steps - self._first_env_steps) / seconds, 2),
            "updates_per_second": round((updates - self._first_updates) / seconds, 3),
        }

    def measure_waiting(self, stalled_s: float, actors: int) -> None:
        """Shares of the time since the last call; `stalled_s`: seconds of all actors together without credit."""
        now = time.monotonic()
        interval = max(now - self._waited_at, 1e-9)
        self.waiting = min(1.0, self._waited / interval)
        self.stalled = min(1.0, max(0.0, stalled_s - self._stalled_s) / (interval * max(actors, 1)))
        self._all_stalled += self.stalled * interval
        self._waited, self._waited_at, self._stalled_s = 0.0, now, stalled_s

    @property
    def bottleneck(self) -> str:
        """The limiting side of the last interval."""
        return bottleneck(self.waiting, self.stalled)

    @property
    def run_bottleneck(self) -> str:
        """The limiting side since this process started."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        return bottleneck(self._all_waited / seconds, self._all_stalled / seconds)

    def line(self, progress: Mapping[str, Any], values: Mapping[str, Any], tests: Sequence[TestResult]) -> None:
        """Writes the interval's line of metrics.jsonl, and one with the same values for every further test."""
        self.last = {
            **progress,
            "time": time.time(),
            "wall_time_s": round(self.wall_time_s, 3),
            "env_steps_per_second": round(self._step_rate.since_last(progress["env_steps"]), 2),
            "updates_per_second": round(self._update_rate.since_last(progress["updates"]), 3),
            **values,
        }
        lines = [self.last | {"test_env_steps": test.env_steps} | test.metrics() for test in tests] or [self.last]
        for line in lines:
            self._log.write(line)
            self._board.write(line)

    def status(self, values: Mapping[str, Any]) -> None:
        """Replaces status.json."""
        write_json(self._run_dir / "status.json", {**values, "time": time.time()})

    def close(self) -> None:
        self._log.close()
        self._board.close()
