"""Episodes whose bytes follow from their sender and number, put into rings and found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from powqmix.learner.replay import ReplayRing
from powqmix.learner.replay_layout import payload_crc32
from powqmix.types import EnvSpec, episode_schema

LIMIT = 10
SCHEMA = episode_schema(EnvSpec("game", n_agents=3, n_actions=11, obs_size=5, state_size=7, episode_limit=LIMIT))


@dataclass
class Header:
    steps: int
    crc32: int
    parameter_version: int
    episode_return: float
    terminated: bool = True
    truncated: bool = False
    battle_won: bool = False
    epsilon: float = 0.5


def episode(seq: int, actor: int = 0, schema: Any = SCHEMA) -> tuple[Header, list[np.ndarray]]:
    """An episode whose bytes, length and header follow from (actor, seq)."""
    rng = np.random.default_rng([actor, seq])
    steps = int(rng.integers(1, schema.episode_limit + 1))
    frames = [rng.integers(0, 256, field.nbytes(steps), dtype=np.uint8) for field in schema.fields]
    return Header(steps, payload_crc32(frames), parameter_version=seq // 3, episode_return=seq / 2), frames


def insert(ring: ReplayRing, seq: int, actor: int = 0, incarnation: int = 7) -> None:
    header, frames = episode(seq, actor, ring.schema)
    ring.insert(header, frames, actor=actor, incarnation=incarnation, seq=seq)


def assert_whole(ring: ReplayRing) -> list[int]:
    """Every stored episode is byte for byte the one that was sent; returns their sequence numbers in order."""
    return assert_whole_of(ring, ring.stored().tolist())


def assert_whole_of(ring: ReplayRing, slots: list[int]) -> list[int]:
    records = ring.records(np.array(slots, np.int64))
    for slot, record in zip(slots, records):
        header, frames = episode(int(record["seq"]), int(record["actor"]))
        assert bytes(ring.payload(slot)) == b"".join(frame.tobytes() for frame in frames)
        assert (record["steps"], record["crc32"]) == (header.steps, header.crc32)
        assert record["insert_index"] % ring.capacity == slot
    return [int(seq) for seq in records["seq"][np.argsort(records["insert_index"])]]
