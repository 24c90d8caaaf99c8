"""What objectives read of a batch: from tensors on the device, by operations on the device alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from powqmix.modules import last_actions
from powqmix.objectives import Transitions

_BOUNDS = 8


@dataclass(frozen=True)
class BatchReader:
    """Makes Transitions; `dtype` is that of the observations in products."""

    gamma: float
    dtype: torch.dtype

    def __call__(
        self, tensors: Mapping[str, Tensor], filled_count: int, env_steps: int, *, share: Tensor | None = None
    ) -> Transitions:
        """tensors: an EpisodeBatch's. `filled_count` may be a bound; `share` [B, T] is 1 / filled steps if not given.

        Neither synchronises nor looks at values: which shapes come out is decided by shapes and `filled_count`.
        """
        terminated, filled = tensors["terminated"], tensors["filled"]
        if share is None:
            share = filled.to(torch.float32)
            share.div_(share.sum())  # a sum of ones: exact
        return Transitions(
            obs=tensors["obs"].to(self.dtype),
            state=tensors["state"],
            avail_actions=tensors["avail_actions"],
            actions=tensors["actions"],
            last_actions=last_actions(tensors["actions"]),
            reward=tensors["reward"],
            discount=terminated.to(torch.float32).mul_(-self.gamma).add_(self.gamma),
            filled=filled,
            share=share,
            filled_count=filled_count,
            env_steps=env_steps,
        )


def filled_bound(filled_count: int, steps: int) -> int:
    """The least eighth of a batch's `steps` (B T) that holds `filled_count`: so few different ones that a graph can be
    captured for each, and at most an eighth of the recognizer's work is on rows that count nothing."""
    if not 1 <= filled_count <= steps:
        raise ValueError(f"filled_count must be between 1 and the batch's {steps} steps, got {filled_count}")
    part = -(-steps // _BOUNDS)
    return min(steps, -(-filled_count // part) * part)
