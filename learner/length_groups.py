"""Groups of a batch's episodes with similar lengths: padded to its own longest, a group wastes little.

Episodes of a battle last between a third of the limit and all of it. Padded together, half of the steps that the
networks are unrolled over may be padding. Losses are sums over filled steps, so a batch can be learned from group by
group, with one gradient in the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

GROUPS = 8
MIN_EPISODES = 4  # of a group: smaller ones make the networks' products too small
# What another group costs in time: calling everything once more, which takes as long as so many steps of one agent, and
# a share of what the batch's steps take, as smaller products are slower ones.
COST_STEPS, COST_SHARE = 800.0, 0.01


class LengthGroup(NamedTuple):
    """Episodes first .. end - 1 of a batch, none of which is longer than `steps`."""

    first: int
    end: int
    steps: int


def length_groups(lengths: Sequence[int], padded_to: int, n_agents: int) -> list[LengthGroup]:
    """Splits episodes of ascending `lengths`, padded to `padded_to` steps, into at most GROUPS groups.

    Of all ways to split them it takes the one with the fewest steps, padding included, and `group_cost` for each group.
    """
    count = len(lengths)
    first, end = np.ogrid[: count + 1, : count + 1]
    # steps[i, j]: of episodes i .. j - 1 as a group. starts[k][j]: where the last of k + 2 groups of j begins.
    steps = np.where(end - first >= MIN_EPISODES, (end - first) * np.array([0, *lengths]), np.inf)
    fewest, starts = steps[0], []
    totals = [float(count * padded_to)]  # a batch that stays whole is not cut either
    for _ in range(1, GROUPS):
        candidates = fewest[:, np.newaxis] + steps
        starts.append(candidates.argmin(axis=0))
        fewest = candidates.min(axis=0)
        totals.append(float(fewest[count]))
    groups = 1 + int(np.argmin(np.array(totals) + group_cost(lengths, n_agents) * np.arange(GROUPS)))
    if groups == 1:
        return [LengthGroup(0, count, padded_to)]
    bounds = [count]
    for before in reversed(starts[: groups - 1]):
        bounds.insert(0, int(before[bounds[0]]))
    bounds.insert(0, 0)
    return [LengthGroup(i, j, lengths[j - 1]) for i, j in itertools.pairwise(bounds)]


def group_cost(lengths: Sequence[int], n_agents: int) -> float:
    """What another group costs, in steps of all agents."""
    return COST_STEPS / n_agents + COST_SHARE * sum(lengths)
