"""Equal episodes of a batch: which are found, what is decoded of them, and what is left alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.learner import duplicates
from powqmix.learner.batch import BatchBuffers
from powqmix.learner.duplicates import distinct
from powqmix.types import EnvSpec, EpisodeBatch, EpisodeSchema, episode_schema

from ..wire.episodes import episode

SPEC = EnvSpec("matrix/test", n_agents=2, n_actions=3, obs_size=1, state_size=2, episode_limit=3)
SCHEMA = episode_schema(SPEC)
FIELDS = [f.name for f in dataclasses.fields(EpisodeBatch) if f.name not in ("filled_count", "multiplicity", "lengths")]


def stored(schema: EpisodeSchema, kinds: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Payload, offsets and steps of a ring that holds episode `kind` for each of `kinds`; remnants lie in between."""
    payload = np.random.default_rng(0).integers(0, 256, schema.max_nbytes * len(kinds), np.uint8)
    steps = np.array([1 + kind % schema.episode_limit for kind in kinds])
    offsets = np.arange(len(kinds)) * schema.max_nbytes
    for kind, offset, count in zip(kinds, offsets, steps):
        content = b"".join(np.ascontiguousarray(f).tobytes() for f in episode(kind, 0, schema, steps=int(count)).frames)
        payload[offset : offset + len(content)] = np.frombuffer(content, np.uint8)
    return payload, offsets, steps


@settings(max_examples=30, deadline=None)
@given(kinds=st.lists(st.integers(1, 6), min_size=1, max_size=20))
def test_different_episodes_are_decoded_once_in_order_and_counted(kinds: list[int]) -> None:
    payload, offsets, steps = stored(SCHEMA, kinds)
    plain = BatchBuffers(SCHEMA, len(kinds)).fill(payload, offsets, steps)
    merged = BatchBuffers(SCHEMA, len(kinds), merge_equal=True).fill(payload, offsets, steps)
    kept = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
    for name in FIELDS:
        assert torch.equal(getattr(merged, name), getattr(plain, name)[kept]), name
    assert (merged.filled_count, plain.filled_count) == (int(steps[kept].sum()), int(steps.sum()))
    assert plain.multiplicity is None
    if len(kept) == len(kinds):
        assert merged.multiplicity is None
    else:
        assert merged.multiplicity is not None
        assert merged.multiplicity.tolist() == [kinds.count(kind) for kind in dict.fromkeys(kinds)]


@given(st.integers(0, 31), st.integers(0, 7), st.integers(-31, 31))
def test_one_bit_or_another_length_makes_a_difference(place: int, bit: int, longer: int) -> None:
    payload = np.zeros(192, np.uint8)
    offsets, sizes = np.array([0, 64, 96]), np.array([32, 32, 32 + longer])
    assert [a.tolist() for a in distinct(payload, offsets, sizes)] == ([[0, 2], [2, 1]] if longer else [[0], [3]])
    payload[64 + place] ^= 1 << bit
    sizes[2] = 32
    assert [a.tolist() for a in distinct(payload, offsets, sizes)] == [[0, 1], [2, 1]]


def test_long_episodes_are_not_looked_at() -> None:
    schema = episode_schema(dataclasses.replace(SPEC, obs_size=duplicates.MAX_EPISODE_BYTES))
    batch = BatchBuffers(schema, 2, merge_equal=True).fill(*stored(schema, [1, 1]))
    assert (len(batch.obs), batch.multiplicity) == (2, None)
