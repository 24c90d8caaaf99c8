"""The first test of an asynchronous run, however soon episodes come."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

from learner.service import Learner
from learner.testing import TestSchedule


def test_first_test_is_asked_for_at_step_0_though_episodes_come_at_once() -> None:
    # The loop alone, on a learner whose receiver brings 160 steps in its first turn; the run ends with them.
    ring = SimpleNamespace(total_env_steps=0)
    tests = TestSchedule(interval_steps=1000, episodes=8)

    def turn(_: float) -> None:
        ring.total_env_steps += 160

    learner = SimpleNamespace(
        tests=tests, ring=ring, updates=0, phase="", _metrics_at=time.monotonic(),
        config=SimpleNamespace(log_interval_s=1e9), limiter=SimpleNamespace(can_sample=lambda: False),
        receiver=SimpleNamespace(turn=turn), report=SimpleNamespace(waited=lambda _: None),
        _finished=lambda: ring.total_env_steps > 0, _housekeeping=lambda: None,
        _ask_for_test=lambda: tests.start(ring.total_env_steps, 0),
    )  # fmt: skip
    Learner._run_asynchronous(cast(Any, learner))
    tests.finish(1, [1.0], [True], [5])
    assert [test.env_steps for test in tests.take_finished()] == [0]
