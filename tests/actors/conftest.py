"""A small environment in Python, whose episodes have random lengths and whose observations tell all that happened."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from powqmix.types import Array, EnvSpec


class ToyEnv:
    """Each environment is keyed by (seed, first_env + index, episode), as the BatchedEnv protocol asks."""

    def __init__(self, num_envs: int, seed: int = 0, first_env: int = 0, episode_limit: int = 12) -> None:
        self.spec = EnvSpec("toy", 3, 5, 7, 4, episode_limit, has_win=True)
        n, a, o, s = 3, 5, 7, 4
        self.num_envs, self.seed, self.first_env = num_envs, seed, first_env
        self.obs = np.zeros((num_envs, n, o), np.float32)
        self.state = np.zeros((num_envs, s), np.float32)
        self.avail_actions = np.zeros((num_envs, n, a), np.uint8)
        self.reward = np.zeros(num_envs, np.float32)
        self.terminated = np.zeros(num_envs, np.uint8)
        self.truncated = np.zeros(num_envs, np.uint8)
        self.battle_won = np.zeros(num_envs, np.uint8)
        self.final_obs = self.obs.copy()
        self.final_state = self.state.copy()
        self.final_avail_actions = self.avail_actions.copy()
        self.episodes = [0] * num_envs
        self.random: list[np.random.Generator] = [np.random.default_rng() for _ in range(num_envs)]
        self.steps = [0] * num_envs
        self.fail_at = -1  # total steps until step() raises
        self.total_steps = 0

    def _begin(self, env: int) -> None:
        self.random[env] = np.random.default_rng([self.seed, self.first_env + env, self.episodes[env]])
        self.episodes[env] += 1
        self.steps[env] = 0
        self._observe(env, np.zeros(3))

    def _observe(self, env: int, actions: Array) -> None:
        random = self.random[env]
        self.obs[env] = random.standard_normal((3, 7))
        self.obs[env, :, 0] = actions
        self.state[env] = random.standard_normal(4)
        self.state[env, 0] = self.episodes[env]
        self.avail_actions[env] = random.random((3, 5)) < 0.5
        self.avail_actions[env, :, random.integers(5)] = 1

    def reset(self) -> None:
        for env in range(self.num_envs):
            self._begin(env)

    def step(self, actions: Array) -> None:
        self.total_steps += 1
        if self.total_steps == self.fail_at:
            raise ConnectionError("the game went away")
        assert actions.dtype == np.int32
        for env in range(self.num_envs):
            for agent, action in enumerate(actions[env]):
                if not self.avail_actions[env, agent, action]:
                    raise ValueError(f"env {env}, agent {agent}: action {action} is not legal")
            self.steps[env] += 1
            ended = self.random[env].random() < 0.1
            cut = not ended and self.steps[env] == self.spec.episode_limit
            self.reward[env] = actions[env].sum() + self.random[env].standard_normal()
            self.terminated[env], self.truncated[env] = ended, cut
            self.battle_won[env] = ended and self.random[env].random() < 0.5
            self._observe(env, actions[env])
            if ended or cut:
                self.final_obs[env] = self.obs[env]
                self.final_state[env] = self.state[env]
                self.final_avail_actions[env] = self.avail_actions[env]
                self._begin(env)


@pytest.fixture
def toy_env() -> Callable[..., ToyEnv]:
    return ToyEnv
