"""What a run tells about itself: lines of metrics.jsonl, status.json for the display, the counters of the summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from powqmix.config import Config

from .metrics import MetricsLog, Rate, bottleneck, write_json
from .testing import TestResult

# Counters that a resumed run goes on from; `stored` is not among them: the ring itself knows it.
CARRIED = ("episodes_rejected", "episodes_duplicated", "episodes_lost")


class Report:
    """Owned by the learner's main thread.

    Counters of this process come from the receiver; those of the run's earlier processes (`carried`) from the
    checkpoint, and from the ring what it held when this process took it up. Episodes that an earlier process counted
    as sent are those it stored, rejected or had twice.
    """

    def __init__(self, run_dir: Path, config: Config, *, stored_before: int, carried: Mapping[str, Any]) -> None:
        self.run_dir, self.config = run_dir, config
        self._log = MetricsLog(run_dir / "metrics.jsonl")
        self._stored_before = stored_before
        self._carried = {name: int(carried.get(name, 0)) for name in CARRIED}
        self._wall_before = float(carried.get("wall_time_s", 0.0))
        self._started = time.monotonic()
        self._line_at = self._started
        self._waiting_at_line = 0.0
        self._stalled_at_line = 0.0
        self._step_rate: Rate | None = None
        self._update_rate: Rate | None = None
        self.last: dict[str, Any] = {}  # the newest line

    @property
    def wall_time_s(self) -> float:
        """Seconds of all this run's processes together."""
        return self._wall_before + time.monotonic() - self._started

    def counters(self, received: Mapping[str, Any]) -> dict[str, int]:
        """Episode counters of the whole run from the receiver's counters of this process."""
        before = self._stored_before + sum(self._carried[name] for name in CARRIED)
        return {
            "episodes_sent": before + int(received["sent"]),
            "episodes_stored": self._stored_before + int(received["stored"]),
        } | {name: self._carried[name] + int(received[name.removeprefix("episodes_")]) for name in CARRIED}

    def line(self, progress: Mapping[str, Any], values: Mapping[str, Any], tests: list[TestResult]) -> None:
        """Writes the interval's line, with the newest test if one came; earlier ones of `tests` get their own."""
        now = time.monotonic()
        if self._step_rate is None or self._update_rate is None:
            self._step_rate = Rate(0, self._started)
            self._update_rate = Rate(0, self._started)
        line = dict(progress)
        line["time"] = time.time()
        line["wall_time_s"] = round(self.wall_time_s, 3)
        line["env_steps_per_second"] = round(self._step_rate.since_last(progress["env_steps"]), 2)
        line["updates_per_second"] = round(self._update_rate.since_last(progress["updates"]), 3)
        line.update(values)
        for test in tests:
            self._log.write(line | {"test_env_steps": test.env_steps} | test.metrics())
        if not tests:
            self._log.write(line)
        self._line_at = now
        self.last = line
