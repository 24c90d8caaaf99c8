"""One episode that is to be shown: who played it, what was done in it, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from powqmix import envs
from powqmix.actors.rollout import Rollout
from powqmix.envs.base import ActionArray, FloatArray
from powqmix.envs.native import NativeEnv
from powqmix.envs.render import DRAWERS, Moment, draw
from powqmix.envs.skirmish import Skirmish
from powqmix.envs.skirmish_gates import POLICIES
from powqmix.learner.saved_policy import SavedPolicy
from powqmix.types import Episode, episode_schema

from .errors import CommandError

if TYPE_CHECKING:
    from PIL.Image import Image

SCRIPTS = POLICIES  # by which agents can play without a run


@dataclass(frozen=True)
class Recording:
    """An episode of one environment, which the same actions in an environment of the same seed repeat."""

    env_id: str
    options: Mapping[str, Any]
    seed: int
    actions: ActionArray  # [T, N]
    rewards: FloatArray  # [T]
    episode_return: float
    terminated: bool
    battle_won: bool | None  # None: nothing can be won in it

    @property
    def steps(self) -> int:
        return len(self.actions)

    def pictures(self) -> Iterator[Image]:
        """T + 1 of them: the actions are played once more.

        Raises CommandError if the environment does not do the same again.
        """
        env = _make(self.env_id, self.options, self.seed)
        try:
            env.reset()
            yield draw(env, Moment(0, 0.0))
            total = 0.0
            for step in range(self.steps):
                env.step(self.actions[step : step + 1])
                ended = bool(env.terminated[0] or env.truncated[0])
                total += float(env.reward[0])
                if ended != (step == self.steps - 1) or env.reward[0] != self.rewards[step]:
                    raise CommandError(f"{self.env_id} did not repeat its episode at step {step}: it cannot be shown")
                yield draw(env, Moment(step + 1, total, ended))
        finally:
            env.close()


def play_episode(policy: SavedPolicy, seed: int) -> Episode:
    """The greedy episode of one environment with this seed."""
    config = policy.config
    env = _make(config.env_id, config.env, seed)
    try:
        rollout = Rollout(env, policy.policy_spec.greedy(), episode_schema(policy.env_spec), seed)
        rollout.set_parameters(policy.parameters, policy.updates)
        return rollout.play_round(0.0)[0]
    finally:
        env.close()


def record_policy(policy: SavedPolicy, seed: int) -> Recording:
    """`play_episode`, to be shown."""
    config, spec = policy.config, policy.env_spec
    episode = play_episode(policy, seed)
    frames = dict(zip((field.name for field in episode_schema(spec).fields), episode.frames))
    return Recording(
        config.env_id,
        config.env,
        seed,
        np.ascontiguousarray(frames["actions"], np.int32),
        frames["reward"],
        episode.episode_return,
        episode.terminated,
        episode.battle_won if spec.has_win else None,
    )


def record_script(env_id: str, options: Mapping[str, Any], script: str, seed: int) -> Recording:
    """An episode in which the agents follow a rule of SCRIPTS.

    `random` is played in any environment that has pictures; `nearest` and `weakest` attack the nearest and the weakest
    enemy of a skirmish, and for `mirror` its computer plays both sides. Raises CommandError on another one.
    """
    if script not in SCRIPTS:
        raise CommandError(f"--policy must be one of {', '.join(SCRIPTS)}, got {script!r}", 2)
    if script == "mirror" and env_id.partition("/")[0] == "skirmish":
        options = {**options, "mirror": True}
    env = _make(env_id, options, seed)
    try:
        if script != "random" and not isinstance(env, Skirmish):
            raise CommandError(f"--policy={script} is for skirmish; {env_id} can be played by random only", 2)
        env.reset()
        actions: list[ActionArray] = []
        rewards: list[np.float32] = []
        while not actions or not (env.terminated[0] or env.truncated[0]):
            if isinstance(env, Skirmish) and script in ("nearest", "weakest"):
                chosen = env.scripted_actions(script)
            else:  # for the mirror, actions are checked and not obeyed
                chosen = env.random_actions(seed, len(actions))
            env.step(chosen)
            actions.append(chosen[0].copy())
            rewards.append(env.reward[0])
        return Recording(
            env_id,
            options,
            seed,
            np.array(actions, np.int32),
            np.array(rewards, np.float32),
            float(np.sum(rewards, dtype=np.float64)),
            bool(env.terminated[0]),
            bool(env.battle_won[0]) if env.spec.has_win else None,
        )
    finally:
        env.close()


def _make(env_id: str, options: Mapping[str, Any], seed: int) -> NativeEnv:
    """One environment that has pictures. Raises CommandError where there is none."""
    if env_id.partition("/")[0] not in DRAWERS:
        raise CommandError(f"{env_id} has no picture; there are pictures of {', '.join(DRAWERS)}")
    try:
        env = envs.make(env_id, 1, seed, **options)
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    assert isinstance(env, NativeEnv)  # all that have pictures are
    return env
