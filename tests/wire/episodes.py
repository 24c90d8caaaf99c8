"""Small sound episodes for the tests of the wire, whose content follows from (actor, seq)."""

from __future__ import annotations

import functools

import numpy as np

from powqmix.types import Array, EnvSpec, Episode, EpisodeSchema, episode_schema
from powqmix.wire import messages as m
from powqmix.wire.frames import checksum, describe

SPEC = EnvSpec("game", n_agents=2, n_actions=11, obs_size=3, state_size=4, episode_limit=6)
SCHEMA = episode_schema(SPEC)


@functools.lru_cache(maxsize=4096)
def episode(seq: int, actor: int = 0, schema: EpisodeSchema = SCHEMA, steps: int | None = None) -> Episode:
    """The same arguments give the same bytes."""
    rng = np.random.default_rng([actor, seq])
    steps = int(rng.integers(1, schema.episode_limit + 1)) if steps is None else steps
    frames: list[Array] = []
    for field in schema.fields:
        shape = (steps + field.extra_steps, *field.shape)
        if np.dtype(field.dtype).kind == "f":
            frames.append(rng.standard_normal(shape).astype(field.dtype))
        else:
            limit = schema.n_actions if field.name == "actions" else 256
            frames.append(rng.integers(0, limit, shape).astype(field.dtype))
    terminated = bool(rng.integers(2))
    frames[5][:] = 0
    frames[5][-1] = terminated
    return Episode(frames, steps, terminated, not terminated, float(seq), bool(rng.integers(2)), seq // 3, 0.5)


def as_bytes(episode: Episode) -> list[bytes]:
    return [frame.tobytes() for frame in episode.frames]


def header_of(episode: Episode, seq: int, incarnation: int = 7, sent: int = 0, acked_upto: int = 0) -> m.EpisodeHeader:
    return m.EpisodeHeader(
        incarnation, seq, episode.parameter_version, episode.steps, episode.terminated, episode.truncated,
        episode.episode_return, episode.battle_won, episode.epsilon, checksum(episode.frames),
        max(sent, seq), acked_upto,
    )  # fmt: skip


def hello(actor: int = 0, incarnation: int = 7, role: m.Role = "train", schema: EpisodeSchema = SCHEMA) -> m.Hello:
    return m.Hello(m.PROTOCOL, "run", actor, role, incarnation, "host", 1, SPEC.id, describe(schema), schema.max_nbytes)
