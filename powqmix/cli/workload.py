"""Real work without a run: episodes played in this process, put into a replay ring as the receiver would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from powqmix import envs
from powqmix.actors.rollout import Rollout
from powqmix.config import Config
from powqmix.learner.replay import ReplayRing
from powqmix.types import Array, Episode, EpisodeSchema
from powqmix.wire.frames import checksum
from powqmix.wire.messages import EpisodeHeader


def player(config: Config, num_envs: int, schema: EpisodeSchema, parameters: Array) -> tuple[Rollout, Any]:
    """A rollout of `num_envs` environments of `config` with `parameters`, and the environments."""
    env = envs.make(config.env_id, num_envs, config.seed, **config.env)
    rollout = Rollout(env, config.agent.policy(env.spec), schema, config.seed)
    rollout.set_parameters(parameters, 0)
    return rollout, env


def fill(
    ring: ReplayRing, rollout: Rollout, episodes: int, epsilon: float, done: Callable[[float], None] = lambda n: None
) -> None:
    """Plays at least `episodes` episodes into the ring; `done` is called with how many came."""
    inserted = 0
    while inserted < episodes:
        played = rollout.play_round(epsilon)
        for episode in played:
            inserted += 1
            ring.insert(header(episode, inserted), episode.frames, actor=0, incarnation=1, seq=inserted)
        done(len(played))


def header(episode: Episode, seq: int) -> EpisodeHeader:
    """The wire's header of an episode that was not sent."""
    return EpisodeHeader(
        incarnation=1, seq=seq, parameter_version=episode.parameter_version, steps=episode.steps,
        terminated=episode.terminated, truncated=episode.truncated, episode_return=episode.episode_return,
        battle_won=episode.battle_won, epsilon=episode.epsilon, crc32=checksum(episode.frames), sent=seq, acked_upto=0,
    )  # fmt: skip
