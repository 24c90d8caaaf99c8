"""A replay ring as an ordinary file: the stored episodes only, with check sums, to outlive the machine's memory.

    "PQSNAP1"   payloads, one after another   index   end

The index has the description and totals (JSON), the slots' headers in the payloads' order, and the sequence table; the
end says how long they are and has their CRC. A damaged index refuses the file; a damaged payload costs its episode.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from powqmix.types import Array

from .replay import ReplayRing
from .replay_file import ReplayError
from .replay_layout import SEQUENCE, SLOT, differences, encode_description

_log = logging.getLogger(__name__)
_START = b"PQSNAP1\0"
_END = struct.Struct("<QQQI8s")  # bytes of JSON, headers, sequences; CRC of all three; _START again


def write_snapshot(ring: ReplayRing, path: Path) -> int:
    """Writes the stored episodes to `path`, atomically; returns how many. Raises OSError if the disk is full.

    Insertions may go on: what comes in meanwhile may or may not be in it.
    """
    totals = {"total_inserted": ring.total_inserted, "total_env_steps": ring.total_env_steps}
    table = ring.sequences.table
    sequences = table[table["seq"] > 0].tobytes()
    slots = ring.stored()
    slots = slots[np.argsort(ring.records(slots)["insert_index"])]
    unfinished = path.with_name(f"{path.name}.new")
    try:
        with unfinished.open("wb") as file:
            file.write(_START)
            headers: list[bytes] = []
            for slot in slots:
                with ring.pinned(slot[None]):
                    headers.append(ring.records(slot[None]).tobytes())
                    file.write(ring.payload(slot))
            description = encode_description({**ring.layout.description(), **totals})
            index = [description, b"".join(headers), sequences]
            crc = zlib.crc32(b"".join(index))
            file.write(b"".join(index))
            file.write(_END.pack(*(len(part) for part in index), crc, _START))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        _sync_folder(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return len(slots)


def read_snapshot(ring: ReplayRing, path: Path) -> int:
    """Fills an empty ring of the same episodes with the newest of a snapshot's; returns how many.

    The capacity may differ. Episodes that fail their CRC are left out, and said. Raises FileNotFoundError, or
    ReplayError if the file is no whole snapshot, or one of other episodes, or the ring is not empty.
    """
    if len(ring):
        raise ReplayError(f"cannot restore {path} into {ring.path}: it holds {len(ring)} episodes; create a new ring")
    with path.open("rb") as file:
        description, slots, sequences = _read_index(file, path)
        totals = {name: int(description.pop(name)) for name in ("total_inserted", "total_env_steps")}
        wanted = json.loads(encode_description({**ring.layout.description(), "capacity": description["capacity"]}))
        if description != wanted:
            raise ReplayError(f"{path} holds other episodes: {differences(description, wanted)}; remove it to go on")
        nbytes = [ring.schema.nbytes(steps) for steps in slots["steps"].tolist()]
        skipped = max(0, len(slots) - ring.capacity)
        file.seek(len(_START) + sum(nbytes[:skipped]))
        damaged = 0
        for slot, size in zip(slots[skipped:], nbytes[skipped:]):
            payload = file.read(size)
            if zlib.crc32(payload) != slot["crc32"]:
                damaged += 1
                continue
            ring.adopt(slot, np.frombuffer(payload, np.uint8))
    for actor, incarnation, seq, insert_index in sequences.tolist():
        ring.sequences.note(actor, incarnation, seq, insert_index)
    ring.count_stored(**totals)
    if damaged:
        _log.warning("%d of %d episodes in %s were damaged and are left out", damaged, len(slots), path)
    return len(ring)


def _read_index(file: IO[bytes], path: Path) -> tuple[dict[str, Any], Array, Array]:
    """The description, slot headers and sequence rows of a snapshot, verified."""
    end = file.seek(0, os.SEEK_END) - _END.size
    problem = ReplayError(f"{path} is not a whole replay snapshot; remove it to go on with an empty replay")
    if end < len(_START):
        raise problem
    file.seek(end)
    *lengths, crc, magic = _END.unpack(file.read(_END.size))
    if magic != _START or sum(lengths) > end - len(_START):
        raise problem
    file.seek(end - sum(lengths))
    index = file.read(sum(lengths))
    if zlib.crc32(index) != crc:
        raise problem
    description, slots = index[: lengths[0]], index[lengths[0] : lengths[0] + lengths[1]]
    sequences = index[lengths[0] + lengths[1] :]
    return json.loads(description), np.frombuffer(slots, SLOT), np.frombuffer(sequences, SEQUENCE)


def _sync_folder(folder: Path) -> None:
    """A rename lasts when its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
