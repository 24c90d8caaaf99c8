"""The agents' parameters in shared memory: written by the learner after an update, read by every actor on the host.

A double buffer: the writer fills the slot that is not current, then makes it current. A reader copies the current slot
and believes the copy if the slot's version was the same before and after, and its checksum fits. Layout, little-endian:
magic, count, current slot, pad, then two slots of (version, crc32, float32[count]).
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

_MAGIC = 0x31304D5251574F50  # "POWQRM01"
_HEAD_WORDS = 4
_WRITING = 2**64 - 1

Vector = npt.NDArray[np.float32]


class ParameterError(RuntimeError):
    """The file is not a buffer of these parameters."""


class _Buffer:
    """The mapped file of either side."""

    def __init__(self, path: Path, count: int, descriptor: int, access: int) -> None:
        self.path, self.count = path, count
        slot_words = 2 + (count + 1) // 2
        size = 8 * (_HEAD_WORDS + 2 * slot_words)
        if access == mmap.ACCESS_WRITE:
            os.ftruncate(descriptor, size)
        elif os.fstat(descriptor).st_size != size:
            os.close(descriptor)
            raise ParameterError(f"{path} does not hold {count} parameters; is it of another run?")
        self._map = mmap.mmap(descriptor, size, access=access)
        os.close(descriptor)
        words = np.frombuffer(self._map, np.uint64)
        self._head = words[:_HEAD_WORDS]  # magic, count, current, unused
        self._slots = words[_HEAD_WORDS:].reshape(2, slot_words)
        self._vectors = [slot[2:].view(np.float32)[:count] for slot in self._slots]

    def close(self) -> None:
        del self._head, self._slots, self._vectors
        self._map.close()


class ParameterWriter(_Buffer):
    """The learner's side; one thread. A new writer takes over the file of an earlier one without disturbing readers."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, count, os.open(path, os.O_RDWR | os.O_CREAT, 0o600), mmap.ACCESS_WRITE)
        self._head[1] = count
        self.version = -1

    def write(self, vector: Vector, version: int) -> None:
        """Publishes `vector` f32 [count] as `version`."""
        if vector.dtype != np.float32 or vector.shape != (self.count,):
            raise ValueError(f"parameters must be float32 [{self.count}], got {vector.dtype} {list(vector.shape)}")
        slot = 1 - int(self._head[2]) % 2
        self._slots[slot, 0] = _WRITING
        self._vectors[slot][:] = vector
        self._slots[slot, 1] = zlib.crc32(self._vectors[slot].data)
        self._slots[slot, 0] = version
        self._head[2] = slot
        self._head[0] = _MAGIC
        self.version = version


class ParameterReader(_Buffer):
    """An actor's side; one thread. Raises FileNotFoundError or ParameterError."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, count, os.open(path, os.O_RDONLY), mmap.ACCESS_READ)

    @property
    def version(self) -> int:
        """The newest version published; -1 before the first."""
        if int(self._head[0]) != _MAGIC:
            return -1
        version = int(self._slots[int(self._head[2]) % 2, 0])
        return -1 if version == _WRITING else version

    def read(self, attempts: int = 100) -> tuple[Vector, int] | None:
        """A copy of the newest vector and its version; None if there is none yet, or the writer was always faster."""
        if int(self._head[0]) != _MAGIC:
            return None
        for _ in range(attempts):
            slot = int(self._head[2]) % 2
            before = int(self._slots[slot, 0])
            vector = self._vectors[slot].copy()
            crc = int(self._slots[slot, 1])
            if before != _WRITING and before == int(self._slots[slot, 0]) and zlib.crc32(vector.data) == crc:
                return vector, before
        return None
