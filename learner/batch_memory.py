"""BatchMemory: the tensors of a batch, on any device, at the same addresses for every batch of a length."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from powqmix.types import EpisodeBatch


class BatchSizes(Protocol):
    """What an EnvSpec and an EpisodeSchema both say of an episode."""

    @property
    def n_agents(self) -> int: ...
    @property
    def n_actions(self) -> int: ...
    @property
    def obs_size(self) -> int: ...
    @property
    def state_size(self) -> int: ...
    @property
    def episode_limit(self) -> int: ...


def batch_shapes(sizes: BatchSizes, rows: int, length: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of each tensor of a batch of `rows` episodes of `length` steps, in EpisodeBatch's order."""
    agents = sizes.n_agents
    return {
        "obs": ((rows, length + 1, agents, sizes.obs_size), torch.float32),
        "state": ((rows, length + 1, sizes.state_size), torch.float32),
        "avail_actions": ((rows, length + 1, agents, sizes.n_actions), torch.uint8),
        "actions": ((rows, length, agents), torch.int64),
        "reward": ((rows, length), torch.float32),
        "terminated": ((rows, length), torch.uint8),
        "filled": ((rows, length), torch.uint8),
    }


class BatchMemory:
    """Memory for one batch of up to `rows` episodes of up to the limit's steps, allocated once.

    `pin_memory` (on the CPU) makes copies to a CUDA device asynchronous.
    """

    def __init__(
        self, sizes: BatchSizes, rows: int, device: torch.device | str = "cpu", *, pin_memory: bool = False
    ) -> None:
        if rows < 1:
            raise ValueError(f"batch_size must be at least 1, got {rows}")
        self.sizes, self.rows = sizes, rows
        self._memory = {
            name: torch.empty(math.prod(shape), dtype=dtype, device=device, pin_memory=pin_memory)
            for name, (shape, dtype) in batch_shapes(sizes, rows, sizes.episode_limit).items()
        }
        self._views: dict[tuple[int, int], dict[str, Tensor]] = {}

    def tensors(self, rows: int, length: int) -> dict[str, Tensor]:
        """The contiguous tensors of a batch of `rows` episodes of `length` steps; the same ones at every call."""
        if (rows, length) not in self._views:
            self._views[rows, length] = {
                name: self._memory[name][: math.prod(shape)].view(shape)
                for name, (shape, _) in batch_shapes(self.sizes, rows, length).items()
            }
        return self._views[rows, length]

    def holds(self, batch: EpisodeBatch) -> bool:
        """Whether `batch` has a size that fits in here."""
        rows, length = batch.filled.shape
        wanted = batch_shapes(self.sizes, rows, length)
        fits = rows <= self.rows and length <= self.sizes.episode_limit
        return fits and all(getattr(batch, name).shape == shape for name, (shape, _) in wanted.items())

    def take(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """The tensors of `batch` in here: copied, where they are not here already, in the current stream's order."""
        here = self.tensors(*batch.filled.shape)
        for name, tensor in here.items():
            source: Tensor = getattr(batch, name)
            if source.data_ptr() != tensor.data_ptr() or source.device != tensor.device:
                tensor.copy_(source, non_blocking=True)
        return here
