"""What environments whose games are played in Python share: their arrays, and the check of actions."""

from __future__ import annotations

import numpy as np

from powqmix.types import EnvSpec

from .base import ActionArray


class PythonEnv:
    """The arrays of a BatchedEnv, all zero: nothing is legal before the first reset."""

    def __init__(self, spec: EnvSpec, num_envs: int) -> None:
        self.spec = spec
        self.num_envs = num_envs
        self.obs = np.zeros((num_envs, spec.n_agents, spec.obs_size), np.float32)
        self.state = np.zeros((num_envs, spec.state_size), np.float32)
        self.avail_actions = np.zeros((num_envs, spec.n_agents, spec.n_actions), np.uint8)
        self.reward = np.zeros(num_envs, np.float32)
        self.terminated, self.truncated, self.battle_won = (np.zeros(num_envs, np.uint8) for _ in range(3))
        self.final_obs, self.final_state = self.obs.copy(), self.state.copy()
        self.final_avail_actions = self.avail_actions.copy()

    def check_actions(self, actions: ActionArray) -> None:
        """Raises ValueError on a wrong dtype or shape, and naming env, agent and action on an illegal one."""
        shape = (self.num_envs, self.spec.n_agents)
        if not isinstance(actions, np.ndarray) or actions.dtype != np.int32 or actions.shape != shape:
            got = (
                f"{actions.dtype} {list(actions.shape)}" if isinstance(actions, np.ndarray) else type(actions).__name__
            )
            raise ValueError(f"{self.spec.id}: actions must be int32 {list(shape)}, got {got}")
        inside = (actions >= 0) & (actions < self.spec.n_actions)
        legal = np.take_along_axis(self.avail_actions, np.where(inside, actions, 0)[..., None], 2)[..., 0]
        wrong = np.argwhere(~inside | (legal == 0))
        if len(wrong):
            e, n = wrong[0].tolist()
            what = "is not legal now" if inside[e, n] else "does not exist"
            allowed = " ".join(map(str, np.flatnonzero(self.avail_actions[e, n]))) or "none, call reset() first"
            raise ValueError(f"{self.spec.id}: env {e}, agent {n}: action {actions[e, n]} {what}; legal: {allowed}")

    def clear_outcome(self) -> None:
        """Reward and flags of a batch that has just been reset."""
        for array in (self.reward, self.terminated, self.truncated, self.battle_won):
            array[:] = 0

    def keep_final(self, e: int) -> None:
        """What is seen of environment e now becomes what was seen last of its ended episode."""
        self.final_obs[e], self.final_state[e] = self.obs[e], self.state[e]
        self.final_avail_actions[e] = self.avail_actions[e]
