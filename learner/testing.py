"""When the greedy policy is tested, which test is outstanding, and what came of it.

A test is asked for every `interval_steps` environment steps (the first at 0, the untrained policy) and once more at the
end. It is played by the evaluator process while training goes on; in lockstep mode training waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TestResult:
    """Means over one test's greedy episodes, at the training step that asked for it."""

    __test__ = False  # not a test case

    env_steps: int
    parameter_version: int
    test_return_mean: float
    test_win_rate: float
    test_length_mean: float
    test_episodes: int

    def metrics(self) -> dict[str, Any]:
        return {
            "test_return_mean": self.test_return_mean,
            "test_win_rate": self.test_win_rate,
            "test_length_mean": self.test_length_mean,
            "test_episodes": self.test_episodes,
        }


class TestSchedule:
    """Owned by the learner's main thread; `finish` is called from the receiver's."""

    __test__ = False

    def __init__(self, interval_steps: int, episodes: int) -> None:
        self.interval_steps = interval_steps
        self.episodes = episodes
        self.last: TestResult | None = None
        self._next_at = 0
        self._next_id = 1
        self._outstanding: dict[int, tuple[int, int]] = {}  # test id -> (env_steps, parameter_version)
        self._finished: list[TestResult] = []

    def due(self, env_steps: int) -> bool:
        """Whether a test should be asked for now. One is never asked for while another is being played."""
        return not self._outstanding and env_steps >= self._next_at

    @property
    def outstanding(self) -> bool:
        return bool(self._outstanding)

    @property
    def has_finished(self) -> bool:
        """Whether `take_finished` would give something."""
        return bool(self._finished)

    def start(self, env_steps: int, parameter_version: int) -> int:
        """Registers a test of these parameters and returns its id."""
        test_id = self._next_id
        self._next_id += 1
        self._outstanding = {test_id: (env_steps, parameter_version)}
        self._next_at = (env_steps // self.interval_steps + 1) * self.interval_steps
        return test_id

    def finish(self, test_id: int, returns: Sequence[float], wons: Sequence[bool], lengths: Sequence[int]) -> None:
        """Takes a result; one that nobody waits for (a repeat, or of an abandoned test) is ignored."""
        asked = self._outstanding.get(test_id)
        if asked is None or not returns:
            return
        env_steps, version = asked
        count = len(returns)
        result = TestResult(
            env_steps, version, sum(returns) / count, sum(bool(w) for w in wons) / count, sum(lengths) / count, count
        )
        self._finished.append(result)
        self._outstanding.pop(test_id, None)

    def abandon(self) -> None:
        """Forgets the outstanding test, after its player was lost."""
        self._outstanding = {}

    def take_finished(self) -> list[TestResult]:
        """Results that came since the last call, oldest first."""
        finished, self._finished = self._finished, []
        if finished:
            self.last = finished[-1]
        return finished

    def state_dict(self) -> dict[str, Any]:
        last = self.last
        return {
            "next_at": self._next_at,
            "next_id": self._next_id,
            "last": None
            if last is None
            else {"env_steps": last.env_steps, "version": last.parameter_version} | last.metrics(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._next_at, self._next_id = state["next_at"], state["next_id"]
        last = state["last"]
        if last is not None:
            self.last = TestResult(
                last["env_steps"], last["version"], last["test_return_mean"], last["test_win_rate"],
                last["test_length_mean"], last["test_episodes"],
            )  # fmt: skip
