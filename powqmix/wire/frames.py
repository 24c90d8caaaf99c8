"""Episodes as frames: the text that describes their layout, and the checks that each one passes before it is stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import powqmix._C as _C
from powqmix.types import EpisodeSchema

from .messages import EpisodeHeader


def describe(schema: EpisodeSchema) -> str:
    """The layout as text: two processes may exchange episodes if theirs are equal. It is shown where they differ."""
    fields = " ".join(f"{f.name}:{f.dtype}{list(f.shape)}+{f.extra_steps}" for f in schema.fields)
    return f"limit {schema.episode_limit}, {schema.n_agents} agents, {schema.n_actions} actions; {fields}"


def checksum(frames: Sequence[Any]) -> int:
    """CRC-32 over the bytes of all frames in order."""
    return int(_C.crc32(frames))


ONE_FRAME_BYTES = 100_000  # below this, one copy costs less than the frames' bookkeeping


def joined(frames: Sequence[Any]) -> list[Any]:
    """The frames of an episode as they are sent: small ones as one, which is a fraction of the work at both ends."""
    if sum(frame.nbytes for frame in frames) > ONE_FRAME_BYTES:
        return list(frames)
    return [b"".join(frames)]


_FLOAT_BYTES = {"<f2": 2, "<f4": 4}
_INDEX_BYTES = {"u1": 1, "<u2": 2}


def all_finite(frame: Any, dtype: str) -> bool:
    """Whether every float of a buffer is finite; dtype "<f2" or "<f4". A whole number of floats."""
    return bool(_C.all_finite(frame, _FLOAT_BYTES[dtype]))


def fault(schema: EpisodeSchema, header: EpisodeHeader, frames: Sequence[Any]) -> str:
    """Why an episode must be refused, "" if it is sound; `frames` are buffers of bytes, as `joined` or one a field.

    Sizes are checked before anything is read.
    """
    if not 1 <= header.steps <= schema.episode_limit:
        return "steps"
    if header.terminated == header.truncated:
        return "end"
    if not math.isfinite(header.episode_return):
        return "not finite"
    reals, actions = schema.fields[0], schema.fields[3]
    return str(
        _C.episode_fault(
            frames, schema.sizes(header.steps), _FLOAT_BYTES[reals.dtype], _INDEX_BYTES[actions.dtype],
            schema.n_actions, header.terminated,
        )
    )  # fmt: skip
