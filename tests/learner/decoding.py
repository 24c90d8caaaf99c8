"""Random stored episodes, and a device's decoder held to that of the host."""

from __future__ import annotations

import numpy as np
import torch

from powqmix.learner.batch import BatchBuffers
from powqmix.learner.batch_memory import BatchMemory
from powqmix.learner.episode_decoder import EpisodeDecoder
from powqmix.types import EpisodeSchema

FIELDS = ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")


def content_of(schema: EpisodeSchema, steps: int, rng: np.random.Generator) -> bytes:
    """A stored episode of random bits: every float16 and float32 is met, but no NaN, which is not equal to itself."""
    parts = []
    for field in schema.fields:
        count = (steps + field.extra_steps) * int(np.prod(field.shape, dtype=np.int64))
        if field.dtype.startswith("<f"):
            bits = rng.integers(0, 256, count * np.dtype(field.dtype).itemsize, dtype=np.uint8).view(field.dtype)
            values = np.where(np.isfinite(bits), bits, 0).astype(field.dtype)
        elif field.name == "actions":
            values = rng.integers(0, schema.n_actions, count).astype(field.dtype)
        else:
            values = rng.integers(0, 2 if field.name == "terminated" else 256, count).astype(field.dtype)
        parts.append(values.tobytes())
    return b"".join(parts)


def check_decoding(device: str, schema: EpisodeSchema, rows: int, seed: int) -> None:
    """The device's decoder against that of BatchBuffers, bit for bit, over memory full of something else."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, schema.episode_limit + 1, rows)
    content, offsets = b"", []
    for length in steps.tolist():
        content += b"?" * (-len(content) % 4 + 4 * int(rng.integers(3)))
        offsets.append(len(content))
        content += content_of(schema, length, rng)
    payload = np.frombuffer(content, np.uint8).copy()
    wanted = BatchBuffers(schema, rows, threads=1).fill(payload, np.array(offsets), steps)
    memory = BatchMemory(schema, rows, device)
    into = memory.tensors(*wanted.filled.shape)
    for tensor in into.values():
        tensor.fill_(77)
    EpisodeDecoder(schema)(
        torch.from_numpy(payload).to(device),
        torch.tensor(offsets, device=device),
        torch.from_numpy(steps).to(device),
        into,
    )
    for name in FIELDS:
        assert torch.equal(into[name].cpu(), getattr(wanted, name)), name
