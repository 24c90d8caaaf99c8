"""The bytes of a replay ring's file: what lies where, and how damage to it is seen.

    0       head: magic, totals, owner, description (JSON: schema and capacity)
    4096    sequences [4096]: the highest sequence number stored of each (actor, incarnation)
    ...     slots [capacity]: one header of 96 bytes for each episode
    ...     payload [capacity][slot_bytes]: an episode's arrays in the schema's order, one after another, without gaps

The headers lie together so that attaching reads 0.5 MB for 5000 episodes, not the whole ring. Little-endian throughout.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from powqmix.types import Array, EpisodeSchema

MAGIC = int.from_bytes(b"PQRING1\0", "little")
VALID = int.from_bytes(b"EPISODE!", "little")  # state of a slot that holds a whole episode; anything else is no episode
TERMINATED, TRUNCATED, WON = 1, 2, 4  # bits of a slot's flags
SEQUENCE_ROWS = 4096  # incarnations remembered; far more than a run starts

HEAD = np.dtype(
    [
        ("magic", "<u8"),
        ("total_inserted", "<u8"),
        ("total_env_steps", "<u8"),
        ("owner_pid", "<u8"),
        ("description_bytes", "<u4"),
        ("description_crc32", "<u4"),
        ("description", "u1", (4056,)),
    ]
)
SEQUENCE = np.dtype([("actor", "<u8"), ("incarnation", "<u8"), ("seq", "<u8"), ("last_insert", "<u8")])
SLOT = np.dtype(
    [
        ("state", "<u8"),
        ("check", "<u8"),  # over everything behind it
        ("insert_index", "<u8"),  # 0, 1, 2, ... over the whole run; slot = insert_index modulo capacity
        ("incarnation", "<u8"),
        ("seq", "<u8"),
        ("env_steps", "<u8"),  # of all episodes up to and with this one
        ("parameter_version", "<u8"),
        ("actor", "<u4"),
        ("steps", "<u4"),
        ("crc32", "<u4"),  # zlib's, over the payload
        ("flags", "<u4"),
        ("episode_return", "<f8"),
        ("epsilon", "<f8"),
        ("reserved", "<u8"),
    ]
)
SLOT_BODY = "<QQQQQIIIIddQ"  # struct's format of a slot behind `state` and `check`
_SLOT_WORDS = SLOT.itemsize // 8
# Odd, so that a change of one bit in a word changes the sum for certain; different, so that a swap of words does too.
_CHECK_FACTORS = np.arange(1, 2 * (_SLOT_WORDS - 2), 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def check_of(body: npt.NDArray[np.uint64]) -> Any:
    """The `check` of slots whose words behind it are `body` [..., 10]."""
    return (body * _CHECK_FACTORS).sum(axis=-1, dtype=np.uint64)


def slots_intact(slots: Array, schema: EpisodeSchema) -> npt.NDArray[np.bool_]:
    """Which of `slots` [n] of SLOT say that they hold an episode, and can be believed."""
    words = slots.view(np.uint64).reshape(len(slots), _SLOT_WORDS)
    believable = (slots["check"] == check_of(words[:, 2:])) & (slots["steps"] >= 1)
    return np.asarray((slots["state"] == VALID) & believable & (slots["steps"] <= schema.episode_limit))


def payload_crc32(frames: list[Any]) -> int:
    """zlib.crc32 over the bytes of an episode's arrays, in order: what a header's `crc32` must be."""
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return crc


@dataclasses.dataclass(frozen=True)
class RingLayout:
    """Offsets and sizes, in bytes, of the ring of `capacity` episodes of `schema`."""

    schema: EpisodeSchema
    capacity: int

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"capacity must be at least 1 episode, got {self.capacity}")

    @functools.cached_property
    def slots_start(self) -> int:
        return HEAD.itemsize + SEQUENCE_ROWS * SEQUENCE.itemsize

    @functools.cached_property
    def payload_start(self) -> int:
        return _round_up(self.slots_start + self.capacity * SLOT.itemsize, 4096)

    @functools.cached_property
    def slot_bytes(self) -> int:
        return _round_up(self.schema.max_nbytes, 64)  # a cache line

    @functools.cached_property
    def nbytes(self) -> int:
        return self.payload_start + self.capacity * self.slot_bytes

    def description(self) -> dict[str, Any]:
        """What two rings must have in common to hold each other's episodes, and the capacity."""
        values = dataclasses.asdict(self.schema)
        fields = {name.pop("name"): f"{name['dtype']} {list(name['shape'])}" for name in values.pop("fields")}
        return {**values, **fields, "capacity": self.capacity}


def encode_description(description: dict[str, Any]) -> bytes:
    return json.dumps(description, sort_keys=True).encode()


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """ "obs_size 75 (wanted 80), ..." """
    names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    return ", ".join(f"{name} {found.get(name)} (wanted {wanted.get(name)})" for name in names)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def required_bytes(schema: EpisodeSchema, capacity: int) -> int:
    """Size of the file of a ring of `capacity` episodes of `schema`."""
    return RingLayout(schema, capacity).nbytes
