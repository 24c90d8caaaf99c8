"""Episodes as frames: the text that describes their layout, and the checks that each one passes before it is stored."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import powqmix._C as _C
from powqmix.types import EpisodeSchema

from .messages import EpisodeHeader


def describe(schema: EpisodeSchema) -> str:
    """The layout as text: two processes may exchange episodes if theirs are equal. It is shown where they differ."""
    fields = " ".join(f"{f.name}:{f.dtype}{list(f.shape)}+{f.extra_steps}" for f in schema.fields)
    return f"limit {schema.episode_limit}, {schema.n_agents} agents, {schema.n_actions} actions; {fields}"


def checksum(frames: Sequence[Any]) -> int:
    """CRC-32 over the bytes of all frames in order."""
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return crc


ONE_FRAME_BYTES = 100_000  # below this, one copy costs less than the frames' bookkeeping


def joined(frames: Sequence[Any]) -> list[Any]:
    """The frames of an episode as they are sent: small ones as one, which is a fraction of the work at both ends."""
    if sum(frame.nbytes for frame in frames) > ONE_FRAME_BYTES:
        return list(frames)
    return [b"".join(memoryview(frame).cast("B") for frame in frames if frame.nbytes)]


def separated(schema: EpisodeSchema, steps: int, frames: Sequence[Any]) -> list[Any]:
    """What came as one frame cut into the schema's; returned as it is where the sizes do not allow it."""
    if len(frames) != 1 or not 1 <= steps <= schema.episode_limit or len(frames[0]) != schema.nbytes(steps):
        return list(frames)
    whole, parts, at = memoryview(frames[0]), [], 0
    for size in schema.sizes(steps):
        parts.append(whole[at : at + size])
        at += size
    return parts


_FLOAT_BYTES = {"<f2": 2, "<f4": 4}


def all_finite(frame: Any, dtype: str) -> bool:
    """Whether every float of a buffer is finite; dtype "<f2" or "<f4". A whole number of floats."""
    return bool(_C.all_finite(frame, _FLOAT_BYTES[dtype]))


def fault(schema: EpisodeSchema, header: EpisodeHeader, frames: Sequence[Any]) -> str:
    """Why an episode must be refused, "" if it is sound; `frames` are buffers of bytes.

    Sizes are checked before any array is formed.
    """
    if not 1 <= header.steps <= schema.episode_limit:
        return "steps"
    if len(frames) != len(schema.fields):
        return "frames"
    if [len(frame) for frame in frames] != schema.sizes(header.steps):
        return "size"
    if header.terminated == header.truncated:
        return "end"
    for field, frame in zip(schema.fields, frames):
        if field.name == "terminated":
            if bytes(frame) != bytes(header.steps - 1) + bytes([header.terminated]):
                return "end"
        elif field.name == "actions":
            actions = np.frombuffer(frame, field.dtype)
            if len(actions) and int(actions.max()) >= schema.n_actions:
                return "action"
        elif field.dtype in _FLOAT_BYTES and not all_finite(frame, field.dtype):
            return "not finite"
    return "" if math.isfinite(header.episode_return) else "not finite"
