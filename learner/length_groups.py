"""Groups of a batch's episodes with similar lengths: padded to its own longest, a group wastes little.

Episodes of a battle last between a third of the limit and all of it. Padded together, half of the steps that the
networks are unrolled over may be padding. Losses are sums over filled steps, so a batch can be learned from group by
group, with one gradient in the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

GROUPS = 4
MIN_EPISODES = 16  # of a group: smaller ones make the networks' products too small
WORTH = 0.9  # of the padded steps at most, or the batch stays whole


class LengthGroup(NamedTuple):
    """Episodes first .. end - 1 of a batch, none of which is longer than `steps`."""

    first: int
    end: int
    steps: int


def length_groups(lengths: Sequence[int], padded_to: int) -> list[LengthGroup]:
    """Splits episodes of ascending `lengths`, padded to `padded_to` steps, into at most GROUPS groups of equal size."""
    count = len(lengths)
    groups = max(1, min(GROUPS, count // MIN_EPISODES))
    bounds = [count * k // groups for k in range(groups + 1)]
    found = [LengthGroup(first, end, lengths[end - 1]) for first, end in itertools.pairwise(bounds)]
    if sum((g.end - g.first) * g.steps for g in found) > WORTH * count * padded_to:
        return [LengthGroup(0, count, padded_to)]
    return found
