"""The split of a batch into groups of similar lengths, against all other splits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powqmix.learner.length_groups import COST, MIN_EPISODES, length_groups


@given(st.lists(st.integers(1, 40), min_size=1, max_size=150), st.integers(0, 10))
def test_length_groups_hold_every_episode_once_and_none_is_cut(lengths: list[int], padding: int) -> None:
    lengths.sort()
    padded_to = lengths[-1] + padding
    groups = length_groups(lengths, padded_to)
    assert [row for g in groups for row in range(g.first, g.end)] == list(range(len(lengths)))
    assert all(max(lengths[g.first : g.end]) <= g.steps <= padded_to for g in groups)
    if len(groups) > 1:
        assert sum((g.end - g.first) * g.steps for g in groups) < len(lengths) * padded_to


@given(st.lists(st.integers(1, 30), min_size=1, max_size=17), st.integers(0, 5))
def test_no_other_groups_would_cost_less(lengths: list[int], padding: int) -> None:
    lengths.sort()
    count, padded_to = len(lengths), lengths[-1] + padding

    def cost(bounds: Sequence[int]) -> float:
        steps = sum((end - first) * lengths[end - 1] for first, end in itertools.pairwise(bounds))
        return (steps if len(bounds) > 2 else count * padded_to) + COST * sum(lengths) * (len(bounds) - 2)

    splits = [
        [0, *inner, count]
        for groups in range(2, count // MIN_EPISODES + 1)
        for inner in itertools.combinations(range(1, count), groups - 1)
    ]
    possible = [
        bounds for bounds in splits if all(end - first >= MIN_EPISODES for first, end in itertools.pairwise(bounds))
    ]
    found = length_groups(lengths, padded_to)
    assert cost([0, *(group.end for group in found)]) == pytest.approx(min(map(cost, [[0, count], *possible])))
