"""Where an actor's time goes: seconds of each stage of its loop, and the first of them one by one, for measurements."""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_SPANS = 4000  # of the actor's loop, and as many of the rollout's stages: what a trace of a moment needs


class StageTimes:
    """Adds up seconds by stage, and keeps the first MAX_SPANS stretches as (stage, start, end) of time.monotonic."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.spans: list[tuple[str, float, float]] = []

    @contextlib.contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        end = time.monotonic()
        self.seconds[stage] += end - start
        if len(self.spans) < MAX_SPANS:
            self.spans.append((stage, start, end))

    def write(self, path: Path, env_steps: int, inner: dict[str, float], spans: list[tuple[str, float, float]]) -> None:
        """As JSON, with the stages of the rollout within "play" (`inner`, `spans`) beside those of the loop."""
        report = {
            "env_steps": env_steps,
            "seconds": self.seconds,
            "rollout_seconds": inner,
            "spans": self.spans,
            "rollout_spans": spans,
        }
        path.write_text(json.dumps(report), encoding="utf-8")
