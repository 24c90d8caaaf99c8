"""Episodes as frames: the text that describes their layout, and the checks that each one passes before it is stored."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

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


# A float's exponent bits: all set means infinite or not a number. Compared as integers, without the sign.
_INFINITE = {2: (np.uint16, 0x7FFF, 0x7C00), 4: (np.uint32, 0x7FFFFFFF, 0x7F800000)}


def all_finite(frame: Any, itemsize: int) -> bool:
    """Whether every float16 (itemsize 2) or float32 (4) of a buffer is finite."""
    dtype, magnitude, infinite = _INFINITE[itemsize]
    words = np.frombuffer(frame, dtype)
    return len(words) == 0 or int((words & dtype(magnitude)).max()) < infinite


def fault(schema: EpisodeSchema, header: EpisodeHeader, frames: Sequence[Any]) -> str:
    """Why an episode must be refused, "" if it is sound. Sizes are checked before any array is formed."""
    if not 1 <= header.steps <= schema.episode_limit:
        return "steps"
    if len(frames) != len(schema.fields):
        return "frames"
    for field, frame in zip(schema.fields, frames):
        if len(frame) != field.nbytes(header.steps):
            return "size"
    if header.terminated == header.truncated:
        return "end"
    for field, frame in zip(schema.fields, frames):
        itemsize = np.dtype(field.dtype).itemsize
        if np.dtype(field.dtype).kind == "f" and not all_finite(frame, itemsize):
            return "not finite"
    if not np.isfinite(header.episode_return):
        return "not finite"
    actions = np.frombuffer(frames[3], np.dtype(schema.fields[3].dtype))
    if len(actions) and int(actions.max()) >= schema.n_actions:
        return "action"
    return ""
