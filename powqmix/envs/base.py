"""What every environment looks like to those who step it: a batch that writes its arrays in place and resets itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from powqmix.types import EnvSpec

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
ActionArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """How many environments, how their random streams are keyed, on how many threads they step."""

    num_envs: int = 1
    seed: int = 0
    num_threads: int = 1
    first_env: int = 0  # index of this batch's first environment in the run, so that actors' streams differ

    def __post_init__(self) -> None:
        limits = {"num_envs": (1, 2**20 + 1), "seed": (0, 2**64), "num_threads": (1, 1025), "first_env": (0, 2**63)}
        for name, (low, end) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < end:
                raise ValueError(f"{name} must be a whole number from {low} to {end - 1}, got {value!r}")


class BatchedEnv(Protocol):
    """E environments of one kind, stepped together.

    The arrays belong to the environment and are the same objects for its whole life: `reset` and `step` write them in
    place, so copy what must be kept. Readers never write them. All are C-contiguous.

        obs            f32 [E, N, O]   what each agent sees now
        state          f32 [E, S]      what the learner sees now
        avail_actions  u8  [E, N, A]   1: legal now. Every agent always has a legal action
        reward         f32 [E]         of the last step
        terminated     u8  [E]         the last step was a true end: no bootstrap
        truncated      u8  [E]         the last step was cut off by the limit: bootstrap from final_state. Never with
                                       terminated
        battle_won     u8  [E]         the last step won the battle; 0 where spec.has_win is False

    An environment whose episode ended in a step resets itself in the same step: obs, state and avail_actions then show
    the new episode's first step, reward and the flags still tell of the last one, and `final_obs`, `final_state`,
    `final_avail_actions` (same shapes) hold what was seen after the ended episode's last action. They keep it until
    this environment ends again.

    What environment e does is a function of (seed, first_env + e, episode) and of the actions: neither the size of the
    batch nor the number of threads changes it. One thread calls an environment at a time.
    """

    @property
    def spec(self) -> EnvSpec: ...
    @property
    def num_envs(self) -> int: ...
    @property
    def obs(self) -> FloatArray: ...
    @property
    def state(self) -> FloatArray: ...
    @property
    def avail_actions(self) -> ByteArray: ...
    @property
    def reward(self) -> FloatArray: ...
    @property
    def terminated(self) -> ByteArray: ...
    @property
    def truncated(self) -> ByteArray: ...
    @property
    def battle_won(self) -> ByteArray: ...
    @property
    def final_obs(self) -> FloatArray: ...
    @property
    def final_state(self) -> FloatArray: ...
    @property
    def final_avail_actions(self) -> ByteArray: ...

    def reset(self) -> None:
        """Starts a new episode in every environment."""

    def step(self, actions: ActionArray) -> None:
        """Plays `actions` (int32 [E, N], C-contiguous).

        An illegal action raises ValueError naming env, agent and action, as does a wrong dtype or shape; nothing has
        changed then.
        """

    def close(self) -> None:
        """Frees what the environment holds outside of this process. It is not used afterwards."""
