"""Rollout: plays episodes in a batch of environments with the C++ policy, and hands them over as they will be sent.

The loop is C++ (`powqmix._C.Rollout`). Native environments, which offer `env.native`, are stepped without Python and
with the GIL released; any other BatchedEnv is called back for each step. Both give the same episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import powqmix._C as _C

from powqmix.types import Array, Episode, EpisodeSchema, PolicySpec

_FIELDS = ("obs", "state", "avail_actions", "actions", "reward", "terminated")


def policy_shape(spec: PolicySpec) -> Any:
    """`spec` for the C++ policy."""
    return _C.PolicyShape(
        n_agents=spec.n_agents,
        n_actions=spec.n_actions,
        obs_size=spec.obs_size,
        hidden_size=spec.hidden_size,
        use_last_action=spec.use_last_action,
        use_agent_id=spec.use_agent_id,
        action_selection=spec.action_selection,
    )


def episode_layout(schema: EpisodeSchema) -> Any:
    """`schema` for the C++ recorder. Raises ValueError on fields that it does not write."""
    names = tuple(field.name for field in schema.fields)
    if names != _FIELDS:
        raise ValueError(f"the recorder writes the fields {_FIELDS}, the schema has {names}")
    dtypes = [np.dtype(field.dtype) for field in schema.fields]
    if dtypes[0] != dtypes[1] or dtypes[0] not in (np.dtype("<f2"), np.dtype("<f4")):
        raise ValueError(f"obs and state must both be '<f2' or '<f4', the schema has {dtypes[0]} and {dtypes[1]}")
    return _C.EpisodeLayout(
        n_agents=schema.n_agents,
        n_actions=schema.n_actions,
        obs_size=schema.obs_size,
        state_size=schema.state_size,
        episode_limit=schema.episode_limit,
        real_bytes=dtypes[0].itemsize,
        index_bytes=dtypes[3].itemsize,
    )


class Rollout:
    """Plays episodes in the E environments of `env`. One thread calls it.

    Each episode is played from start to end with the parameters and the epsilon that were newest when it began;
    environments end at different times, so several versions may be in use at once. Exploration is keyed by
    (seed, first_env + env index, episode, step, agent): what happens in an environment does not depend on E.

    An exception of the environment passes through and leaves the rollout usable: `abort` says how many episodes it
    cost, and the next call starts from a reset.
    """

    def __init__(
        self,
        env: Any,
        policy_spec: PolicySpec,
        schema: EpisodeSchema,
        seed: int,
        *,
        first_env: int = 0,
        instruction_set: str = "auto",
    ) -> None:
        native = getattr(env, "native", None)
        self._env = env  # whose arrays the C++ side reads
        self._native = _C.Rollout(
            env if native is None else native,
            policy_shape(policy_spec),
            episode_layout(schema),
            seed=seed,
            first_env=first_env,
            isa=instruction_set,
        )

    @property
    def num_envs(self) -> int:
        return int(self._native.num_envs)

    @property
    def env_steps(self) -> int:
        """Environment steps recorded so far, those of aborted episodes included."""
        return int(self._native.env_steps)

    @property
    def parameter_version(self) -> int:
        """The newest version set, which episodes that begin from now on use; -1 before the first."""
        return int(self._native.version)

    def set_parameters(self, flat: Array, version: int) -> None:
        """Takes the parameters of episodes that begin from now on.

        flat: f32 [PolicySpec.parameter_count], in the order of `parameter_shapes()`; it is copied.
        """
        self._native.set_parameters(flat, version)

    @property
    def native(self) -> bool:
        """Whether the environments are stepped without Python; then they do not fail."""
        return hasattr(self._env, "native")

    def advance(self, epsilon: float, until: int | None = None, episodes: int = 1) -> list[Episode]:
        """Steps all environments until `episodes` episodes have ended, and returns those that did.

        They are in the order of their ends, and of environments where they ended together. An exception of the
        environment loses those that ended in the same call.
        `until` bounds the steps: after that many it returns even if no episode ended; the next call goes on.
        `epsilon` is that of episodes that begin in this call. A policy whose `action_selection` is "epsilon_greedy"
        plays greedily at 0.
        """
        if until is not None and until < 1:
            raise ValueError(f"until must be at least 1 step, or None for no limit; got {until}")
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {episodes}")
        return [_episode(e) for e in self._native.advance(_checked(epsilon), until or 0, episodes)]

    def play_round(self, epsilon: float) -> list[Episode]:
        """Resets all environments, plays exactly one episode in each, and returns the E episodes in env order.

        An environment that is done waits for the others (it is stepped on, as the protocol knows no pause, and nothing
        of it is kept). Episodes that `advance` had begun are dropped.
        """
        return [_episode(e) for e in self._native.play_round(_checked(epsilon))]

    def start_clock(self, max_spans: int = 0) -> None:
        """Measures the stages of `advance` from now on; costs four readings of the clock for a step of all."""
        self._native.start_clock(max_spans)

    def clock(self) -> tuple[dict[str, float], list[tuple[str, float, float]]]:
        """Seconds in "policy", "simulate" and "record", and the first max_spans stretches as (stage, start, end).

        Starts and ends are of time.monotonic. All is zero and empty before `start_clock`.
        """
        return self._native.stage_seconds, self._native.stage_spans

    def abort(self) -> int:
        """Drops unfinished episodes and returns how many had begun."""
        return int(self._native.abort())


def _checked(epsilon: float) -> float:
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon must be between 0 and 1, got {epsilon}")
    return epsilon


def _episode(finished: Any) -> Episode:
    return Episode(
        frames=finished.frames,
        steps=finished.steps,
        terminated=finished.terminated,
        truncated=finished.truncated,
        episode_return=finished.episode_return,
        battle_won=finished.battle_won,
        parameter_version=finished.parameter_version,
        epsilon=finished.epsilon,
    )
