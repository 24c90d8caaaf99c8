"""Merging equal episodes of a batch: small games repeat themselves.

A batch of 128 episodes of a matrix game with 9 joint actions holds at most 9 different ones. Counted instead of
repeated, they make the same losses out of a fourteenth of the arithmetic.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from powqmix.types import EpisodeBatch

MAX_EPISODE_BYTES = 1024  # longer episodes hardly ever repeat, and looking costs time


def merge_duplicates(batch: EpisodeBatch) -> tuple[EpisodeBatch, Tensor | None]:
    """The different episodes of a batch in the CPU's memory, in order of first appearance, and how often each is there.

    The second is f32 [B], None where the batch is returned as it came: long episodes, other devices, none equal.
    `filled_count` counts the steps of the batch that is returned.
    """
    fields = [batch.obs, batch.state, batch.avail_actions, batch.actions, batch.reward, batch.terminated, batch.filled]
    count = batch.filled.shape[0]
    if batch.obs.is_cuda or sum(f.nbytes for f in fields) > count * MAX_EPISODE_BYTES:
        return batch, None
    rows = np.concatenate([f.contiguous().numpy().reshape(count, -1).view(np.uint8) for f in fields], axis=1)
    content, width = rows.tobytes(), rows.shape[1]
    firsts: dict[bytes, int] = {}
    counts: list[int] = [0] * count
    for row in range(count):
        counts[firsts.setdefault(content[row * width : (row + 1) * width], row)] += 1
    if len(firsts) == count:
        return batch, None
    kept = torch.tensor(list(firsts.values()))
    obs, state, avail_actions, actions, reward, terminated, filled = (f.index_select(0, kept) for f in fields)
    merged = EpisodeBatch(
        obs, state, avail_actions, actions, reward, terminated, filled, int(filled.sum(dtype=torch.int64))
    )
    return merged, torch.tensor(counts, dtype=torch.float32).index_select(0, kept)
