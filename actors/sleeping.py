"""SleepingEnv: environments that only take time, for measuring the wire with more actors than there are cores."""

from __future__ import annotations

import powqmix._C as _C


class SleepingEnv:
    """What a Rollout steps in place of a game: a step of the batch sleeps `sleep_s`; see csrc/actor/sleeping_env.h.

    Episodes have the sizes of the rollout's schema. There are no arrays for Python to read.
    """

    def __init__(self, num_envs: int, seed: int, sleep_s: float) -> None:
        self.native = _C.SleepingEnv(num_envs=num_envs, seed=seed, sleep_s=sleep_s)

    def close(self) -> None:
        """Nothing to free."""
