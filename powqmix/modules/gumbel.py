"""GumbelNoise: the random numbers of an update, from a stream of its own that a checkpoint takes along."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from powqmix.types import derive_seed

UPDATE_STREAM = 4  # below the run's seed (types.derive_seed); actors have 1 to 3


class GumbelNoise(nn.Module):
    """Gumbel(0, 1) numbers, a function of the run's seed and of how often they were asked for.

    The largest of logit + noise is a draw from the softmax (Gumbel-max). Neither PyTorch's global stream nor, on a CPU,
    the padding of a batch matters. The count is part of the module's state.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed, self._drawn = seed, 0

    def forward(self, like: Tensor) -> Tensor:
        """New numbers in the shape, and on the device, of `like` [B, T, N, A]: f32."""
        generator = torch.Generator(like.device).manual_seed(derive_seed(self._seed, UPDATE_STREAM, self._drawn))
        self._drawn += 1
        batch, steps, *rest = like.shape
        # Steps first: longer padding takes more numbers after those of all others.
        uniform = torch.rand((steps, batch, *rest), generator=generator, device=like.device)
        smallest = torch.finfo(uniform.dtype).tiny
        return uniform.clamp_(min=smallest).log_().neg_().log_().neg_().transpose(0, 1)

    def get_extra_state(self) -> Tensor:
        """Seed and count, for `state_dict`."""
        return torch.tensor([self._seed, self._drawn])

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on from a `state_dict`."""
        self._seed, self._drawn = (int(value) for value in state)
