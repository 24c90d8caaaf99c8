"""Merging equal episodes: what is kept, what is counted, what is left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powqmix.learner import duplicates
from powqmix.learner.duplicates import merge_duplicates
from powqmix.types import EnvSpec, EpisodeBatch

SPEC = EnvSpec("matrix/test", n_agents=2, n_actions=3, obs_size=1, state_size=2, episode_limit=3)
FIELDS = [field.name for field in dataclasses.fields(EpisodeBatch) if field.name != "filled_count"]


def pick(batch: EpisodeBatch, rows: list[int]) -> EpisodeBatch:
    tensors = {name: getattr(batch, name)[rows] for name in FIELDS}
    return EpisodeBatch(**tensors, filled_count=int(tensors["filled"].sum()))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_different_episodes_are_kept_in_order_and_counted(
    rows: list[int], make_batch: Callable[..., EpisodeBatch]
) -> None:
    source = make_batch(SPEC, batch_size=5, steps=3)
    merged, multiplicity = merge_duplicates(pick(source, rows))
    kept = list(dict.fromkeys(rows))
    for name in FIELDS:
        assert torch.equal(getattr(merged, name), getattr(source, name)[kept]), name
    assert merged.filled_count == int(source.filled[kept].sum())
    if len(kept) == len(rows):
        assert multiplicity is None
    else:
        assert multiplicity is not None
        assert multiplicity.tolist() == [rows.count(row) for row in kept]


def test_episodes_that_differ_in_one_field_only_are_different(make_batch: Callable[..., EpisodeBatch]) -> None:
    source = make_batch(SPEC, batch_size=1, steps=3)
    for name in FIELDS:
        batch = pick(source, [0, 0])
        changed = getattr(batch, name)
        changed[1].view(-1)[-1] += 1
        assert merge_duplicates(batch)[1] is None, name


def test_long_episodes_are_not_looked_at(make_batch: Callable[..., EpisodeBatch]) -> None:
    large = dataclasses.replace(SPEC, obs_size=duplicates.MAX_EPISODE_BYTES)
    batch = pick(make_batch(large, batch_size=1, steps=3), [0, 0])
    merged, multiplicity = merge_duplicates(batch)
    assert merged is batch
    assert multiplicity is None
