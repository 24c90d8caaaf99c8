"""The native environments of `powqmix._C` behind the BatchedEnv protocol."""

from __future__ import annotations

from typing import Any

import powqmix._C as _C
from powqmix.types import EnvSpec

from .base import ActionArray, Batch, ByteArray, FloatArray


def batch_options(batch: Batch) -> Any:
    """`batch` as the record that native environments take."""
    return _C.BatchOptions(
        num_envs=batch.num_envs, seed=batch.seed, num_threads=batch.num_threads, first_env=batch.first_env
    )


class NativeEnv:
    """A BatchedEnv whose arrays view the buffers of a C++ environment; they are read-only.

    `native` is that C++ object, for callers that step it without coming back to Python (the actor's rollout).
    """

    def __init__(self, native: Any) -> None:
        self.native = native
        self.num_envs: int = native.num_envs
        spec = native.spec
        self.spec = EnvSpec(
            id=spec.id,
            n_agents=spec.n_agents,
            n_actions=spec.n_actions,
            obs_size=spec.obs_size,
            state_size=spec.state_size,
            episode_limit=spec.episode_limit,
            version=spec.version,
            has_win=spec.has_win,
        )
        # Made once: an array object a step would cost more than a step.
        self.obs: FloatArray = native.obs
        self.state: FloatArray = native.state
        self.avail_actions: ByteArray = native.avail_actions
        self.reward: FloatArray = native.reward
        self.terminated: ByteArray = native.terminated
        self.truncated: ByteArray = native.truncated
        self.battle_won: ByteArray = native.battle_won
        self.final_obs: FloatArray = native.final_obs
        self.final_state: FloatArray = native.final_state
        self.final_avail_actions: ByteArray = native.final_avail_actions

    def reset(self) -> None:
        """Starts a new episode in every environment."""
        self.native.reset()

    def step(self, actions: ActionArray) -> None:
        """Plays `actions` (int32 [E, N]); ValueError, and no change, on a wrong dtype, shape or an illegal action."""
        self.native.step(actions)

    def close(self) -> None:
        """Nothing to free outside of this process."""

    def random_actions(self, seed: int, step: int) -> ActionArray:
        """Uniformly random legal actions, int32 [E, N]: a function of seed, env index, `step` and what is legal."""
        actions: ActionArray = self.native.random_actions(seed, step)
        return actions

    def get_state(self, env: int) -> bytes:
        """Everything that environment `env`'s future depends on: its game, its random stream, the key of the next."""
        state: bytes = self.native.get_state(env)
        return state

    def set_state(self, env: int, state: bytes) -> None:
        """Makes environment `env` the one that `get_state` saved: the same actions then give the same episodes.

        Its observations, state and legal actions are those of then; reward and flags are 0. The bytes are of this
        machine's byte order, and trusted in nothing: ValueError, and no change, if they are not such a state.
        """
        self.native.set_state(env, state)
