"""The buffers a batch of episodes is decoded into: allocated once, used for every update."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import powqmix._C as _C
import torch

from powqmix.process import available_cores
from powqmix.types import Array, EpisodeBatch, EpisodeSchema

from .batch_memory import BatchMemory
from .duplicates import MAX_EPISODE_BYTES, distinct

_BUCKETS = 8


def length_buckets(episode_limit: int) -> tuple[int, ...]:
    """The lengths T that a batch can have: at most 8, evenly spaced, the last one the limit.

    A batch is padded to the longest episode in it, rounded up to one of these, so that what is compiled or captured for
    a shape (CUDA graphs) exists at most 8 times. Rounding up costs at most an eighth of the limit.
    """
    if episode_limit < 1:
        raise ValueError(f"episode_limit must be at least 1, got {episode_limit}")
    step = -(-episode_limit // _BUCKETS)
    return (*range(step, episode_limit, step), episode_limit)


def bucket_length(steps: int, episode_limit: int) -> int:
    """The bucket of a batch whose longest episode has `steps` steps."""
    if not 1 <= steps <= episode_limit:
        raise ValueError(f"steps must be between 1 and the limit {episode_limit}, got {steps}")
    step = -(-episode_limit // _BUCKETS)
    return min(episode_limit, -(-steps // step) * step)


def default_threads() -> int:
    """Threads for decoding: one for each core this process may use, at most 8, which fill the memory's bandwidth."""
    return min(8, available_cores())


class BatchBuffers:
    """Memory for one batch of `batch_size` episodes of `schema`, of every length bucket.

    The EpisodeBatch that `fill` returns views this memory: it holds until the next `fill`. Two buffers in turns let one
    batch be decoded while another is in use. `pin_memory` makes copies to a CUDA device asynchronous. With
    `merge_equal`, equal short episodes are decoded once, and counted in the batch's `multiplicity`. One thread at a
    time.
    """

    def __init__(
        self,
        schema: EpisodeSchema,
        batch_size: int,
        *,
        pin_memory: bool = False,
        merge_equal: bool = False,
        threads: int | None = None,
    ) -> None:
        self.memory = BatchMemory(schema, batch_size, pin_memory=pin_memory)
        self.schema = schema
        self.batch_size = batch_size
        self._bytes_at_0_steps = schema.nbytes(0)
        self._bytes_a_step = schema.nbytes(1) - schema.nbytes(0)
        self._merge_equal = merge_equal and schema.max_nbytes <= MAX_EPISODE_BYTES
        fields = {field.name: field for field in schema.fields}
        self._decoder = _C.EpisodeDecoder(
            n_agents=schema.n_agents,
            n_actions=schema.n_actions,
            obs_size=schema.obs_size,
            state_size=schema.state_size,
            half_reals=fields["obs"].dtype == "<f2",
            wide_actions=fields["actions"].dtype == "<u2",
            threads=default_threads() if threads is None else threads,
        )
        self._arrays: dict[tuple[int, int], dict[str, Array]] = {}

    def _arrays_of(self, rows: int, length: int) -> dict[str, Array]:
        """The tensors of such a batch as numpy arrays; made once each."""
        if (rows, length) not in self._arrays:
            tensors = self.memory.tensors(rows, length)
            self._arrays[rows, length] = {name: tensor.numpy() for name, tensor in tensors.items()}
        return self._arrays[rows, length]

    def fill(
        self, payload: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]
    ) -> EpisodeBatch:
        """Decodes the episodes of `steps` [B] steps that begin at `offsets` [B] of `payload` [bytes].

        Several threads; the GIL is released. Raises ValueError where the sizes do not fit.
        """
        if len(offsets) != self.batch_size:
            raise ValueError(f"these buffers hold {self.batch_size} episodes, got {len(offsets)} to decode")
        multiplicity = None
        if self._merge_equal:
            sizes = self._bytes_at_0_steps + self._bytes_a_step * steps
            kept, counts = distinct(payload, offsets, sizes)
            if len(kept) < len(offsets):
                offsets, steps, multiplicity = offsets[kept], steps[kept], torch.from_numpy(counts.astype(np.float32))
        length = bucket_length(int(steps.max()), self.schema.episode_limit)
        self._decoder.decode(payload, offsets, steps, **self._arrays_of(len(steps), length))
        tensors = self.memory.tensors(len(steps), length)
        return EpisodeBatch(
            **tensors, filled_count=int(steps.sum()), multiplicity=multiplicity, lengths=tuple(steps.tolist())
        )
