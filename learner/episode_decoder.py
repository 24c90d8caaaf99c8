"""EpisodeDecoder: stored episodes in a device's memory -> the tensors of a batch there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from powqmix.ops.kernels import kernel, runner
from powqmix.types import EpisodeSchema

ALIGNMENT = 4  # bytes: episodes begin at multiples of it
_MOST_ELEMENTS = 2**31  # of one episode in one tensor; kernels count them in 32 bits


class EpisodeDecoder:
    """Decodes episodes of `schema` in one kernel: float16 -> float32, bits -> bytes, actions -> int64, zero padding.

    On a GPU; on a CPU BatchBuffers do it. Raises ValueError if an episode is too large for it.
    """

    def __init__(self, schema: EpisodeSchema) -> None:
        fields = {field.name: field for field in schema.fields}
        of_agents = schema.n_agents * max(schema.obs_size, schema.n_actions)
        if (schema.episode_limit + 1) * max(of_agents, schema.state_size) >= _MOST_ELEMENTS:
            raise ValueError(
                f"episodes of {schema.episode_limit} steps of {schema.n_agents} agents are too large to be decoded on "
                "the device; --set replay.device_copy=off"
            )
        self._layout = (
            schema.n_agents, schema.n_actions, schema.obs_size, schema.state_size,
            fields["obs"].dtype == "<f2", fields["actions"].dtype == "<u2",
        )  # fmt: skip

    def __call__(self, payload: Tensor, offsets: Tensor, steps: Tensor, into: Mapping[str, Tensor]) -> None:
        """Decodes the episodes of `steps` i64 [B] steps that begin at byte `offsets` i64 [B] of `payload` u8.

        into: the tensors of a batch, [B, T + 1, ...] or [B, T, ...], all on the device of `payload`. Offsets are
        multiples of ALIGNMENT and steps between 1 and T: the caller knows, nothing here looks at the device's memory.
        """
        rows, length = into["filled"].shape
        tensors = [into[name] for name in _ORDER]
        for tensor in (offsets, steps, *tensors):
            if tensor.device != payload.device or not tensor.is_contiguous():
                raise ValueError(f"all tensors must be contiguous and on {payload.device}, got one on {tensor.device}")
        if not offsets.shape == steps.shape == (rows,) or offsets.dtype != torch.int64 or steps.dtype != torch.int64:
            raise ValueError(f"offsets and steps must be int64 [{rows}], got {list(offsets.shape)} {offsets.dtype}")
        kernel("replay_decode", payload)(
            self._layout, payload.data_ptr(), offsets.data_ptr(), steps.data_ptr(), rows, length,
            [tensor.data_ptr() for tensor in tensors], runner(payload),
        )  # fmt: skip


_ORDER = ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")
