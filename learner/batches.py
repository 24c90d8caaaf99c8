"""Where the learner's batches come from: the ring alone, the ring by way of pinned memory, or a copy on the GPU."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from powqmix.config import Config
from powqmix.types import EpisodeBatch

from .batch import BatchBuffers
from .batch_memory import BatchMemory
from .copy_stream import CopyStream
from .device_replay import DeviceReplay, Sent, device_copy_wanted
from .replay import ReplayRing

log = logging.getLogger("powqmix.learner")


class Batches(Protocol):
    """Batches of episodes drawn from a ring, on the update's device. One thread at a time."""

    def next(self) -> EpisodeBatch:
        """A batch drawn now, or at the last `prefetch`; its memory may be written again after the next `next`."""

    def prefetch(self) -> None:
        """Draws the next batch and begins its way to the device, while that is at work on the last one."""


class HostBatches:
    """On a CPU: decoded into one memory when asked for, equal short episodes once."""

    def __init__(self, ring: ReplayRing, rng: np.random.Generator, batch_size: int) -> None:
        self._ring, self._rng, self._batch_size = ring, rng, batch_size
        self._buffers = BatchBuffers(ring.schema, batch_size, merge_equal=True)

    def next(self) -> EpisodeBatch:
        return self._ring.gather(self._ring.sample(self._rng, self._batch_size), self._buffers)

    def prefetch(self) -> None:
        pass


class CopiedBatches:
    """On a GPU without a copy of the episodes: decoded on the host, and copied beside the last update.

    Two memories on either side take turns.
    """

    def __init__(self, ring: ReplayRing, rng: np.random.Generator, batch_size: int, device: torch.device) -> None:
        self._ring, self._rng, self._batch_size = ring, rng, batch_size
        self._free = [_Lane(ring, batch_size, device) for _ in range(2)]  # the one that was used last is last
        self._ready: tuple[_Lane, EpisodeBatch] | None = None
        self._used: _Lane | None = None

    def next(self) -> EpisodeBatch:
        if self._used is not None:
            self._used.copies.release()
            self._free.append(self._used)
        self.prefetch()
        assert self._ready is not None
        self._used, batch = self._ready
        self._ready = None
        self._used.copies.arrive()
        return batch

    def prefetch(self) -> None:
        if self._ready is None:
            lane = self._free.pop(0)
            self._ready = lane, lane.fill(self._ring, self._ring.sample(self._rng, self._batch_size))


class _Lane:
    """Memory for a batch on the host and on the device, and the copies from one to the other."""

    def __init__(self, ring: ReplayRing, batch_size: int, device: torch.device) -> None:
        self._buffers = BatchBuffers(ring.schema, batch_size, pin_memory=device.type == "cuda")
        self._memory = BatchMemory(ring.schema, batch_size, device)
        self.copies = CopyStream(device)

    def fill(self, ring: ReplayRing, slots: npt.NDArray[np.int64]) -> EpisodeBatch:
        """The batch on the device, when `copies` have arrived."""
        self.copies.wait()
        batch = ring.gather(slots, self._buffers)
        tensors = self._memory.tensors(*batch.filled.shape)
        with self.copies.copying():
            for name, tensor in tensors.items():
                tensor.copy_(getattr(batch, name), non_blocking=True)
        return EpisodeBatch(**tensors, filled_count=batch.filled_count, lengths=batch.lengths)


class DeviceBatches:
    """On a GPU with a copy of the episodes: only those that it has not got yet cross the bus, as they are stored."""

    def __init__(self, ring: ReplayRing, rng: np.random.Generator, into: BatchMemory, device: torch.device) -> None:
        self._ring, self._rng, self._batch_size = ring, rng, into.rows
        self.replay = DeviceReplay(ring, into, device)
        self._sent: Sent | None = None

    def next(self) -> EpisodeBatch:
        self.prefetch()
        assert self._sent is not None
        batch = self.replay.decode(self._sent)
        self._sent = None
        return batch

    def prefetch(self) -> None:
        if self._sent is None:
            self._sent = self.replay.send(self._ring.sample(self._rng, self._batch_size))


def batches_for(
    config: Config, ring: ReplayRing, rng: np.random.Generator, device: torch.device, inputs: BatchMemory | None
) -> Batches:
    """The batches of a run on `device`; `inputs`: where its update reads them, if that is always the same memory.

    Raises ConfigError where the GPU has no room for what replay.device_copy asks for.
    """
    batch_size, setting = config.training.batch_size, config.replay.device_copy
    nbytes = ring.layout.capacity * ring.layout.slot_bytes
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    if device_copy_wanted(setting, nbytes, device, free):
        log.info("replay: a copy of the stored episodes is on the GPU (%.2f GB)", nbytes / 1e9)
        return DeviceBatches(ring, rng, inputs or BatchMemory(ring.schema, batch_size, device), device)
    if device.type == "cpu":
        return HostBatches(ring, rng, batch_size)
    log.info("replay: batches are decoded on the host and copied to the GPU (replay.device_copy=%s)", setting)
    return CopiedBatches(ring, rng, batch_size, device)
