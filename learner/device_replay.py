"""DeviceReplay: the stored episodes a second time, in a GPU's memory, where batches are decoded from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from powqmix.config import ConfigError
from powqmix.types import EpisodeBatch

from .batch import bucket_length
from .batch_memory import BatchMemory
from .copy_stream import CopyStream
from .episode_decoder import EpisodeDecoder
from .replay import ReplayRing

AUTO_SHARE, ON_SHARE = 0.5, 0.85  # of the memory that is free: the rest is for batches, networks and their gradients


@dataclass(frozen=True)
class Sent:
    """A batch whose episodes are on the device, or on their way there."""

    rows: int
    steps: npt.NDArray[np.int64]  # [B]


class DeviceReplay:
    """Follows a ring: an episode crosses the bus when it is sampled for the first time, in the ring's own bytes.

    `send` and `decode` are called in turns, by one thread. What is decoded is what was in the slots when they were
    sent, whatever is inserted in between.
    """

    def __init__(self, ring: ReplayRing, into: BatchMemory, device: torch.device) -> None:
        """Takes memory for the ring's payload on `device`; batches are decoded into `into`, which is there too."""
        self._ring, self._into = ring, into
        layout, rows, pinned = ring.layout, into.rows, device.type == "cuda"
        self._slot_bytes = layout.slot_bytes
        self._decode = EpisodeDecoder(ring.schema)
        self._payload = torch.empty(layout.capacity * layout.slot_bytes, dtype=torch.uint8, device=device)
        self._index = torch.empty(2, rows, dtype=torch.int64, device=device)  # offsets and steps of a batch
        self._staging = torch.empty(rows, layout.slot_bytes, dtype=torch.uint8, pin_memory=pinned)
        self._index_staging = torch.empty(2, rows, dtype=torch.int64, pin_memory=pinned)
        self._held = np.full(layout.capacity, -1, np.int64)  # insert_index of the episode that a slot here has
        self._copies = CopyStream(device)
        self.episodes_sent = 0

    def send(self, slots: npt.NDArray[np.int64]) -> Sent:
        """Starts the copies of those episodes in `slots` [B], all different, that are not on the device yet.

        Raises ValueError on a slot without an episode.
        """
        rows = len(slots)
        self._copies.wait()
        with self._ring.pinned(slots):
            records = self._ring.records(slots)
            inserted, steps = records["insert_index"].astype(np.int64), records["steps"].astype(np.int64)
            missing = np.flatnonzero(self._held[slots] != inserted)
            sizes = [self._stage(place, int(slots[row])) for place, row in enumerate(missing)]
        self._index_staging[0, :rows] = torch.from_numpy(slots * self._slot_bytes)
        self._index_staging[1, :rows] = torch.from_numpy(steps)
        with self._copies.copying():
            for place, (row, nbytes) in enumerate(zip(missing, sizes)):
                begin = int(slots[row]) * self._slot_bytes
                self._payload[begin : begin + nbytes].copy_(self._staging[place, :nbytes], non_blocking=True)
            self._index.copy_(self._index_staging, non_blocking=True)
        self._held[slots] = inserted
        self.episodes_sent += len(missing)
        return Sent(rows, steps)

    def _stage(self, place: int, slot: int) -> int:
        """Copies an episode of the ring into the pinned memory; returns its bytes."""
        episode = np.frombuffer(self._ring.payload(slot), np.uint8)
        self._staging[place, : len(episode)].numpy()[:] = episode
        return len(episode)

    def decode(self, sent: Sent) -> EpisodeBatch:
        """The batch of the last `send`, when the current stream gets there; valid until the next `decode`."""
        length = bucket_length(int(sent.steps.max()), self._ring.schema.episode_limit)
        tensors = self._into.tensors(sent.rows, length)
        self._copies.arrive()
        self._decode(self._payload, self._index[0, : sent.rows], self._index[1, : sent.rows], tensors)
        self._copies.release()
        return EpisodeBatch(**tensors, filled_count=int(sent.steps.sum()), lengths=tuple(sent.steps.tolist()))


def device_copy_wanted(setting: str, nbytes: int, device: torch.device, free: int) -> bool:
    """Whether `replay.device_copy` = `setting` means a copy of `nbytes` bytes on `device`, of which `free` are free.

    Raises ConfigError where it is "on" and there is no room.
    """
    if setting == "off" or (setting == "auto" and device.type != "cuda"):
        return False
    if device.type != "cuda":
        raise ConfigError("replay.device_copy=on needs a CUDA device; use auto or off, or --gpu 0")
    room = int(free * (AUTO_SHARE if setting == "auto" else ON_SHARE))
    if setting == "on" and nbytes > room:
        raise ConfigError(
            f"replay.device_copy=on needs {nbytes / 1e9:.2f} GB on the GPU for the stored episodes, and "
            f"{room / 1e9:.2f} GB can be used ({ON_SHARE:.0%} of the {free / 1e9:.2f} GB that are free); use --set "
            "replay.device_copy=off, fewer episodes with --set replay.capacity=N, or --set replay.dtype=float16"
        )
    return nbytes <= room
