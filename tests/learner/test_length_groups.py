"""The split of a batch into groups of similar lengths, against all other splits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powqmix.learner.length_groups import MIN_EPISODES, group_cost, length_groups


@given(st.lists(st.integers(1, 400), min_size=1, max_size=150), st.integers(0, 10))
def test_length_groups_hold_every_episode_once_and_none_is_cut(lengths: list[int], padding: int) -> None:
    lengths.sort()
    padded_to = lengths[-1] + padding
    groups = length_groups(lengths, padded_to, n_agents=4)
    assert [row for g in groups for row in range(g.first, g.end)] == list(range(len(lengths)))
    assert all(max(lengths[g.first : g.end]) <= g.steps <= padded_to for g in groups)
    if len(groups) > 1:
        assert sum((g.end - g.first) * g.steps for g in groups) < len(lengths) * padded_to


@given(st.lists(st.integers(1, 300), min_size=1, max_size=17), st.integers(0, 5), st.sampled_from([1, 4, 27]))
def test_no_other_groups_would_cost_less(lengths: list[int], padding: int, n_agents: int) -> None:
    lengths.sort()
    count, padded_to = len(lengths), lengths[-1] + padding

    def cost(bounds: Sequence[int]) -> float:
        steps = sum((end - first) * lengths[end - 1] for first, end in itertools.pairwise(bounds))
        return (steps if len(bounds) > 2 else count * padded_to) + group_cost(lengths, n_agents) * (len(bounds) - 2)

    splits = [
        [0, *inner, count]
        for groups in range(2, count // MIN_EPISODES + 1)
        for inner in itertools.combinations(range(1, count), groups - 1)
    ]
    possible = [
        bounds for bounds in splits if all(end - first >= MIN_EPISODES for first, end in itertools.pairwise(bounds))
    ]
    found = length_groups(lengths, padded_to, n_agents)
    assert cost([0, *(group.end for group in found)]) == pytest.approx(min(map(cost, [[0, count], *possible])))


def test_a_small_batch_stays_whole_where_a_large_one_of_the_same_lengths_is_split() -> None:
    lengths = [20] * 16 + [30] * 16
    assert len(length_groups(lengths, 30, n_agents=3)) == 1  # 160 steps of padding, 275 for another group
    assert len(length_groups([10 * length for length in lengths], 300, n_agents=3)) == 2
