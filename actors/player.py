"""Player: a rollout whose environment may fail. A failure costs its open episodes; the environment is built anew.

Games end unasked, lose their connection, report observations of another size. None of that may reach the learner as an
episode's end, and none of it may end the actor, unless it happens every time.
"""

from __future__ import annotations

from collections.abc import Callable

from powqmix.envs import BatchedEnv
from powqmix.types import Array, Episode, EpisodeSchema, PolicySpec

from .rollout import Rollout
from .sleeping import SleepingEnv

FAILURES_IN_A_ROW = 5  # without a finished episode between them, then the error is passed on


class EnvironmentFailed(RuntimeError):
    """The environment failed FAILURES_IN_A_ROW times without one finished episode; the last error is its cause."""


class Player:
    """Plays episodes; `make(attempt)` builds the environments, attempt 0, 1, ... each with streams of its own.

    seed: of exploration; a rebuilt rollout uses seed + attempt.
    """

    def __init__(
        self,
        make: Callable[[int], BatchedEnv | SleepingEnv],
        policy_spec: PolicySpec,
        schema: EpisodeSchema,
        seed: int,
        log: Callable[[str], None],
    ) -> None:
        self._make = make
        self._policy_spec = policy_spec
        self._schema = schema
        self._seed = seed
        self._log = log
        self._attempt = 0
        self._failures = 0
        self._parameters: tuple[Array, int] | None = None
        self._past_env_steps = 0
        self.aborted = 0  # episodes lost to failures and stops
        self._build()

    @property
    def num_envs(self) -> int:
        return self._rollout.num_envs

    @property
    def env_steps(self) -> int:
        """Environment steps played, over all builds."""
        return self._past_env_steps + self._rollout.env_steps

    @property
    def parameter_version(self) -> int:
        return -1 if self._parameters is None else self._parameters[1]

    def set_parameters(self, flat: Array, version: int) -> None:
        """As Rollout.set_parameters; a rebuilt environment gets them too, so `flat` is kept and must not change."""
        self._parameters = (flat, version)
        self._rollout.set_parameters(flat, version)

    def advance(self, epsilon: float, until: int | None = None, episodes: int = 1) -> list[Episode]:
        """As Rollout.advance; an empty list after a failure. Where one may happen, the first episode is enough."""
        episodes = episodes if self._rollout.native else 1
        return self._guarded(lambda: self._rollout.advance(epsilon, until, episodes))

    def play_round(self, epsilon: float) -> list[Episode]:
        """As Rollout.play_round; an empty list after a failure."""
        return self._guarded(lambda: self._rollout.play_round(epsilon))

    def start_clock(self, max_spans: int) -> None:
        """As Rollout.start_clock, of the environments as they are now."""
        self._rollout.start_clock(max_spans)

    def clock(self) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
        """As Rollout.clock."""
        return self._rollout.clock()

    def close(self) -> None:
        """Drops open episodes and frees the environments."""
        self.aborted += self._rollout.abort()
        self._env.close()

    def _build(self) -> None:
        self._env = self._make(self._attempt)
        self._rollout = Rollout(self._env, self._policy_spec, self._schema, self._seed + self._attempt)
        if self._parameters is not None:
            self._rollout.set_parameters(*self._parameters)

    def _guarded(self, play: Callable[[], list[Episode]]) -> list[Episode]:
        try:
            episodes = play()
        except Exception as error:  # whatever a game throws
            self._recover(error)
            return []
        if episodes:
            self._failures = 0
        return episodes

    def _recover(self, error: Exception) -> None:
        """Builds the environments anew, as often as failures in a row are allowed."""
        self.aborted += self._rollout.abort()
        self._past_env_steps += self._rollout.env_steps
        while True:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                raise EnvironmentFailed(
                    f"the environment failed {self._failures} times in a row, last with {type(error).__name__}: {error}"
                ) from error
            self._log(f"environment failed ({type(error).__name__}: {error}); building it anew")
            self._attempt += 1
            try:
                self._env.close()
                self._build()
                return
            except Exception as again:  # whatever a game throws
                error = again
