"""SleepingEnv: an environment that only takes time, for measuring the wire with more actors than there are cores."""

from __future__ import annotations

import time

import numpy as np

from powqmix.envs.base import ActionArray
from powqmix.envs.python_env import PythonEnv
from powqmix.types import EnvSpec


class SleepingEnv(PythonEnv):
    """A BatchedEnv with the sizes of `spec`: every step of the batch sleeps `sleep_s`, everything is always legal.

    Episodes last to the limit and are truncated there, but for the first, which is of a random length, so that
    actors that start together do not send together for ever.
    """

    def __init__(self, spec: EnvSpec, num_envs: int, seed: int, sleep_s: float) -> None:
        super().__init__(spec, num_envs)
        self.sleep_s = sleep_s
        rng = np.random.default_rng(seed)
        self._left = rng.integers(1, spec.episode_limit + 1, num_envs)
        for array in (self.obs, self.state, self.final_obs, self.final_state):
            array[:] = rng.random(array.shape, np.float32)
        self.avail_actions[:] = self.final_avail_actions[:] = 1

    def reset(self) -> None:
        self.clear_outcome()

    def step(self, actions: ActionArray) -> None:
        time.sleep(self.sleep_s)
        self._left -= 1
        ended = self._left == 0
        self.truncated[:] = ended
        self._left[ended] = self.spec.episode_limit

    def close(self) -> None:
        """Nothing to free."""
