"""The replay ring: episodes in a memory-mapped file that outlives the process that writes it.

An insertion invalidates the oldest slot, writes the payload, then sequence number and check sums, and last marks the
slot valid. Stores of a process reach the mapped pages in program order, and the pages belong to the file: whatever
moment the process is killed at, each slot holds a whole episode or is marked as holding none. Only a loss of power
loses the pages; replay_snapshot is for that, and for rings in shared memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from powqmix.types import Array, EpisodeBatch, EpisodeSchema

from .batch import BatchBuffers
from .replay_file import ReplayError, RingInUse, RingMismatch, check_description, create_ring_file, open_locked
from .replay_layout import (
    HEAD,
    SEQUENCE,
    SEQUENCE_ROWS,
    SLOT,
    SLOT_BODY,
    TERMINATED,
    TRUNCATED,
    VALID,
    WON,
    RingLayout,
    check_of,
    slots_intact,
)
from .replay_sequences import SequenceTable

__all__ = ["EpisodeHeader", "ReplayError", "ReplayRing", "RingInUse", "RingMismatch"]

_NO_SLOT = -1
_Bytes = npt.NDArray[np.uint8]
_Slots = npt.NDArray[np.int64]


class EpisodeHeader(Protocol):
    """What an insertion needs to know of an episode beside its arrays: a part of the wire's EPISODE."""

    @property
    def parameter_version(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def terminated(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def episode_return(self) -> float: ...
    @property
    def battle_won(self) -> bool: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def crc32(self) -> int:
        """zlib.crc32 over the arrays' bytes in order, as the sender computed it and the receiver verified it."""


class ReplayRing:
    """The last `capacity` episodes, written by one thread and read by others.

    `insert` is called by the receiver's thread. `sample`, `gather`, `records` and the counters may be called from any
    thread at the same time: `gather` pins the slots it reads, and an insertion waits for a pinned slot, which is one
    gather long and happens once in about capacity / batch_size insertions. So no batch is ever torn, and a batch holds
    exactly what was sampled.
    """

    def __init__(self, path: Path, layout: RingLayout, descriptor: int, *, verify: bool) -> None:
        """Takes over a locked and checked file; use `create` or `attach`."""
        self.path = path
        self.schema = layout.schema
        self.capacity = layout.capacity
        self.layout = layout
        self.damaged = 0  # slots skipped at attaching
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, layout.nbytes)
        self._head = np.frombuffer(self._map, HEAD, 1)
        self._slots = np.frombuffer(self._map, SLOT, layout.capacity, layout.slots_start)
        self._words = self._slots.view(np.uint64).reshape(layout.capacity, -1)  # [capacity, 12]
        self._payload = np.frombuffer(self._map, np.uint8, offset=layout.payload_start)
        self.sequences = SequenceTable(np.frombuffer(self._map, SEQUENCE, SEQUENCE_ROWS, HEAD.itemsize))
        self._reserved = np.zeros(layout.capacity, np.int64)  # bytes of the slot known to have memory behind them
        # `_changed` guards the three below, and is notified when a write or a reading of pinned slots ends.
        self._changed = threading.Condition()
        self._held = np.zeros(layout.capacity, np.bool_)  # slots with an episode, also while it is being replaced
        self._pins = np.zeros(layout.capacity, np.int32)  # readers of the slot
        self._writing = _NO_SLOT
        self._head["owner_pid"] = os.getpid()
        self._find_episodes(verify)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        schema: EpisodeSchema,
        capacity: int,
        *,
        total_inserted: int = 0,
        total_env_steps: int = 0,
    ) -> ReplayRing:
        """A new, empty ring at `path`, in place of any there.

        The totals are what to count on from, if the run had a ring before that was lost. Raises RingInUse if the ring
        at `path` has an owner, OSError if the file cannot be made.
        """
        layout, path = RingLayout(schema, capacity), Path(path)
        descriptor = create_ring_file(path, layout, total_inserted=total_inserted, total_env_steps=total_env_steps)
        return cls(path, layout, descriptor, verify=False)

    @classmethod
    def attach(
        cls, path: str | os.PathLike[str], schema: EpisodeSchema, capacity: int, *, verify: bool = False
    ) -> ReplayRing:
        """The ring that an earlier process left at `path`, with every episode it had accepted.

        Slots whose header is damaged are skipped and counted in `damaged`; with `verify` so are those whose payload
        fails its CRC, which reads all of it. Raises FileNotFoundError, RingInUse, or RingMismatch.
        """
        layout, path = RingLayout(schema, capacity), Path(path)
        descriptor = open_locked(path)
        try:
            check_description(path, descriptor, layout)
        except ReplayError:
            os.close(descriptor)
            raise
        return cls(path, layout, descriptor, verify=verify)

    def _find_episodes(self, verify: bool) -> None:
        """Reads the slots' headers, and frees the slots that cannot be believed."""
        held = slots_intact(self._slots, self.schema)
        held &= self._slots["insert_index"] % np.uint64(self.capacity) == np.arange(self.capacity)
        if verify:
            for slot in np.flatnonzero(held).tolist():
                held[slot] = zlib.crc32(self.payload(slot)) == self._slots["crc32"][slot]
        self.damaged = int(np.count_nonzero((self._slots["state"] != 0) & ~held))
        self._slots["state"][~held] = 0
        self._held[:] = held
        self.count_stored()

    def count_stored(self, total_inserted: int = 0, total_env_steps: int = 0) -> None:
        """Raises totals and sequence numbers to what the slots, and these arguments, know beyond the head.

        The newest episode can have been marked valid without having been counted.
        """
        slots = self._slots[self._held]
        if len(slots):
            total_inserted = max(total_inserted, int(slots["insert_index"].max()) + 1)
            total_env_steps = max(total_env_steps, int(slots["env_steps"].max()))
        self._head["total_inserted"] = max(self.total_inserted, total_inserted)
        self._head["total_env_steps"] = max(self.total_env_steps, total_env_steps)
        self.sequences.note_stored(slots)

    # -- Writing ---------------------------------------------------------------------------------------------------

    def insert(self, header: EpisodeHeader, frames: list[Any], *, actor: int, incarnation: int, seq: int) -> None:
        """Stores an episode in place of the oldest; when it returns, the episode survives this process.

        frames: the arrays of `schema.fields`, as contiguous buffers of any type, or one buffer of all. Raises
        ValueError if they do not have the bytes of `header.steps` steps, or if `seq` is not above the last one of its
        actor; OSError if no memory is left. Then nothing was changed.
        """
        arrays = self._check(header.steps, frames)
        last = self.last_seq(actor, incarnation)
        if seq <= last:
            raise ValueError(f"episode {seq} of actor {actor} is stored already: the last one was {last}")
        slot = self.total_inserted % self.capacity
        self._reserve(slot, sum(map(len, arrays)))
        with self._writes(slot):
            for _ in self._stores(slot, header, arrays, actor, incarnation, seq):
                pass

    def _stores(
        self, slot: int, header: EpisodeHeader, arrays: list[_Bytes], actor: int, incarnation: int, seq: int
    ) -> Iterator[None]:
        """The stores of an insertion, one before each `yield`: stopped at any of them, the ring is whole."""
        index = self.total_inserted
        env_steps = self.total_env_steps + header.steps
        flags = TERMINATED * header.terminated | TRUNCATED * header.truncated | WON * header.battle_won
        body = struct.pack(
            SLOT_BODY, index, incarnation, seq, env_steps, header.parameter_version, actor, header.steps,
            header.crc32, flags, header.episode_return, header.epsilon, 0,
        )  # fmt: skip
        yield
        yield from self._store_episode(slot, np.frombuffer(body, np.uint64), arrays)
        # From here on attaching finds the episode, whether or not what follows is written.
        self.sequences.note(actor, incarnation, seq, index)
        yield
        self._head["total_env_steps"] = env_steps
        yield
        self._head["total_inserted"] = index + 1

    def _store_episode(self, slot: int, body: npt.NDArray[np.uint64], arrays: list[_Bytes]) -> Iterator[None]:
        self._words[slot, 0] = 0
        yield
        place = slot * self.layout.slot_bytes
        for array in arrays:
            self._payload[place : place + len(array)] = array
            place += len(array)
            yield
        self._words[slot, 2:] = body
        yield
        self._words[slot, 1] = check_of(body)
        yield
        self._words[slot, 0] = VALID
        yield

    def adopt(self, slot_header: Any, payload: _Bytes) -> None:
        """Puts an episode of a snapshot where its `insert_index` says, as it was; `count_stored` follows."""
        slot = int(slot_header["insert_index"]) % self.capacity
        self._reserve(slot, len(payload))
        with self._writes(slot):
            body = np.frombuffer(slot_header.tobytes(), np.uint64)[2:]
            for _ in self._store_episode(slot, body, [payload]):
                pass

    @contextlib.contextmanager
    def _writes(self, slot: int) -> Iterator[None]:
        """Waits until nobody reads the slot, and holds readers of it off."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pins[slot])
            self._writing = slot
        try:
            yield
        finally:
            with self._changed:
                self._held[slot] = self._words[slot, 0] == VALID
                self._writing = _NO_SLOT
                self._changed.notify_all()

    def _check(self, steps: int, frames: list[Any]) -> list[_Bytes]:
        """The frames as bytes; raises ValueError if they do not have the sizes of `steps` steps."""
        if not 1 <= steps <= self.schema.episode_limit:
            raise ValueError(f"steps must be between 1 and {self.schema.episode_limit}, got {steps}")
        got, wanted = [memoryview(frame).nbytes for frame in frames], self.schema.sizes(steps)
        if got != wanted and got != [sum(wanted)]:
            names = [field.name for field in self.schema.fields]
            raise ValueError(f"frames {names} of {steps} steps must have {wanted} bytes, got {got}")
        return [np.frombuffer(frame, np.uint8) for frame, nbytes in zip(frames, got) if nbytes]

    def _reserve(self, slot: int, nbytes: int) -> None:
        """Puts memory behind the slot: a store into a sparse page of a full file system would kill the process."""
        if self._reserved[slot] >= nbytes:
            return
        try:
            os.posix_fallocate(self._descriptor, self.layout.payload_start + slot * self.layout.slot_bytes, nbytes)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the replay ring needs {self.layout.nbytes / 1e9:.2f} GB where it lies, and no room is left "
                f"({error.strerror}); make room and resume, or choose another folder with --set replay.path=FOLDER",
                str(self.path),
            ) from None
        self._reserved[slot] = nbytes

    # -- Reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Episodes stored."""
        return int(np.count_nonzero(self._held))

    @property
    def total_inserted(self) -> int:
        """Episodes inserted over the whole run."""
        return int(self._head["total_inserted"][0])

    @property
    def total_env_steps(self) -> int:
        """Environment steps of all episodes inserted over the whole run."""
        return int(self._head["total_env_steps"][0])

    def last_seq(self, actor: int, incarnation: int) -> int:
        """The highest sequence number stored of this incarnation, 0 if none; episodes replaced since count too."""
        return self.sequences.last_seq(actor, incarnation)

    def stored(self) -> _Slots:
        """The slots that hold an episode, ascending."""
        return np.flatnonzero(self._held)

    def sample(self, rng: np.random.Generator, batch_size: int) -> _Slots:
        """Slots [B] of stored episodes, uniformly, without replacement; those of short episodes first.

        The same generator state and the same ring give the same slots. Raises ValueError if too few are stored.
        """
        stored = self.stored()
        if len(stored) < batch_size:
            raise ValueError(f"cannot sample {batch_size} episodes without replacement: {len(stored)} are stored")
        slots = stored[rng.choice(len(stored), batch_size, replace=False)]
        return slots[self._slots["steps"][slots].argsort(kind="stable")]

    def gather(self, slots: _Slots, into: BatchBuffers) -> EpisodeBatch:
        """Decodes the episodes in `slots` [B], padded to a length bucket; valid until `into` is filled again.

        An episode that was replaced since `sample` is the newer one. Raises ValueError on a slot without an episode.
        """
        with self.pinned(slots):
            steps = self._slots["steps"][slots].astype(np.int64)
            return into.fill(self._payload, slots * self.layout.slot_bytes, steps)

    def records(self, slots: _Slots) -> Array:
        """A copy of the headers [B] of `slots`, of dtype `replay_layout.SLOT`."""
        with self.pinned(slots):
            return self._slots[slots]

    @contextlib.contextmanager
    def pinned(self, slots: _Slots) -> Iterator[None]:
        """Holds off insertions into `slots`; waits for one that is under way. Raises ValueError on an empty slot."""
        if len(slots) and not (slots.min() >= 0 and slots.max() < self.capacity):
            raise ValueError(f"slots must be between 0 and {self.capacity - 1}, got {slots.min()} to {slots.max()}")
        with self._changed:
            np.add.at(self._pins, slots, 1)
            self._changed.wait_for(lambda: self._writing not in slots)
        try:
            empty = slots[~self._held[slots]]
            if len(empty):
                raise ValueError(f"slots {empty.tolist()} hold no episode; take slots from sample()")
            yield
        finally:
            with self._changed:
                np.subtract.at(self._pins, slots, 1)
                self._changed.notify_all()

    def payload(self, slot: int) -> memoryview:
        """The bytes of a slot's episode, in place; `pinned` keeps them."""
        place = slot * self.layout.slot_bytes
        return self._payload[place : place + self.schema.nbytes(int(self._slots["steps"][slot]))].data

    # -- Leaving ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Gives up the file and its lock; the episodes stay. No other method may be called afterwards."""
        if self._descriptor < 0:
            return
        self._head["owner_pid"] = 0
        del self._head, self._slots, self._words, self._payload, self.sequences
        self._map.close()
        os.close(self._descriptor)
        self._descriptor = -1

    def unlink(self) -> None:
        """Removes the file with all its episodes, and closes the ring."""
        self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> ReplayRing:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
