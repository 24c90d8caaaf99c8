"""An episode's frames: every defect is found, and what is found sound the replay ring believes too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powqmix.learner.replay import ReplayRing
from powqmix.learner.replay_layout import payload_crc32
from powqmix.types import EnvSpec, episode_schema
from powqmix.wire import messages as m
from powqmix.wire.frames import all_finite, checksum, describe, fault

from .episodes import SCHEMA, SPEC, as_bytes, episode, header_of

NAMES = [field.name for field in SCHEMA.fields]
FLOATS = {"float16": np.float16, "float32": np.float32}
SCHEMAS = {name: episode_schema(SPEC, name) for name in FLOATS}


@given(st.integers(1, 1000), st.sampled_from(sorted(SCHEMAS)))
def test_a_sound_episode_has_no_fault(seq: int, dtype: str) -> None:
    schema = SCHEMAS[dtype]
    sound = episode(seq, schema=schema)
    assert fault(schema, header_of(sound, seq), as_bytes(sound)) == ""


@dataclass
class Defect:
    """What is done to the frames of an episode of 3 steps, or to its header, and what must be said of it."""

    name: str
    reason: str
    frames: Callable[[list[bytes]], list[bytes]] = list
    header: dict[str, Any] | None = None


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    def apply(frames: list[bytes]) -> list[bytes]:
        return [change(frame) if n == name else frame for n, frame in zip(NAMES, frames)]

    return apply


DEFECTS = [
    Defect("no steps", "steps", header={"steps": 0}),
    Defect("more steps than the limit", "steps", header={"steps": SPEC.episode_limit + 1}),
    Defect("a step that the frames do not have", "size", header={"steps": 4}),
    Defect("no frames", "frames", lambda frames: []),
    Defect("a frame too few", "frames", lambda frames: frames[:-1]),
    Defect("a frame too many", "frames", lambda frames: [*frames, b""]),
    *[Defect(f"{n} too short", "size", changed(n, lambda frame: frame[:-1])) for n in NAMES],
    *[Defect(f"{n} too long", "size", changed(n, lambda frame: frame + b"\0")) for n in NAMES],
    *[Defect(f"{n} empty", "size", changed(n, lambda frame: b"")) for n in NAMES],
    Defect("two frames swapped", "size", lambda frames: [frames[1], frames[0], *frames[2:]]),
    Defect("neither terminated nor truncated", "end", header={"terminated": False, "truncated": False}),
    Defect("terminated and truncated", "end", header={"terminated": True, "truncated": True}),
    Defect("an end in the middle", "end", changed("terminated", lambda frame: b"\1" + frame[1:])),
    Defect("an end that the header denies", "end", header={"terminated": False, "truncated": True}),
    Defect("a return that is no number", "not finite", header={"episode_return": float("nan")}),
    Defect("an infinite return", "not finite", header={"episode_return": float("-inf")}),
    Defect("an action that there is not", "action", changed("actions", lambda frame: frame[:-1] + b"\x0b")),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_found_and_named(defect: Defect) -> None:
    sound = episode(5, steps=3)
    assert sound.terminated
    header = msgspec.structs.replace(header_of(sound, 5), **(defect.header or {}))
    assert fault(SCHEMA, header_of(sound, 5), as_bytes(sound)) == ""
    assert fault(SCHEMA, header, defect.frames(as_bytes(sound))) == defect.reason


@given(
    st.sampled_from(sorted(SCHEMAS)),
    st.sampled_from(["obs", "state", "reward"]),
    st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]),
    st.data(),
)
def test_one_value_that_is_not_finite_is_found_wherever_it_stands(
    dtype: str, name: str, bad: float, data: st.DataObject
) -> None:
    schema = SCHEMAS[dtype]
    damaged = episode(2, schema=schema)
    frames = [frame.copy() for frame in damaged.frames]
    flat = frames[NAMES.index(name)].reshape(-1)
    flat[data.draw(st.integers(0, len(flat) - 1))] = bad
    found = fault(schema, header_of(damaged, 2), [frame.tobytes() for frame in frames])
    assert found == "not finite"


@pytest.mark.parametrize("dtype", sorted(FLOATS))
def test_all_finite_agrees_with_numpy_on_every_exponent_and_sign(dtype: str) -> None:
    real = np.dtype(FLOATS[dtype])
    words = np.arange(2**16, dtype=np.uint16) if real.itemsize == 2 else np.arange(2**16, dtype=np.uint32) << 16
    for value in words.view(real):
        assert all_finite(value.tobytes(), real.newbyteorder("<").str) == bool(np.isfinite(value))
    assert all_finite(b"", real.newbyteorder("<").str)


def test_actions_may_be_wider_than_a_byte() -> None:
    schema = episode_schema(EnvSpec("wide", n_agents=1, n_actions=300, obs_size=1, state_size=1, episode_limit=2))
    sound = episode(1, schema=schema)
    assert fault(schema, header_of(sound, 1), as_bytes(sound)) == ""
    sound.frames[3][0, 0] = 300
    assert fault(schema, header_of(sound, 1), as_bytes(sound)) == "action"


def test_an_environment_may_have_no_state() -> None:
    schema = episode_schema(EnvSpec("blind", n_agents=1, n_actions=2, obs_size=1, state_size=0, episode_limit=2))
    sound = episode(1, schema=schema)
    assert fault(schema, header_of(sound, 1), as_bytes(sound)) == ""


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_the_checksum_is_that_of_the_replay_ring(frames: list[bytes]) -> None:
    assert checksum(frames) == payload_crc32(frames)
    assert checksum([np.frombuffer(frame, np.uint8) for frame in frames]) == checksum([b"".join(frames)])


def test_the_ring_believes_what_was_found_sound_and_its_checksum(tmp_path: Path) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 8) as ring:
        for seq in range(1, 7):
            header, frames = header_of(episode(seq), seq), as_bytes(episode(seq))
            assert fault(SCHEMA, header, frames) == ""
            ring.insert(header, frames, actor=1, incarnation=7, seq=seq)
    with ReplayRing.attach(tmp_path / "ring", SCHEMA, 8, verify=True) as ring:
        assert (len(ring), ring.damaged, ring.last_seq(1, 7)) == (6, 0, 6)
        payloads = [ring.payload(slot).tobytes() for slot in ring.stored().tolist()]
        assert payloads == [b"".join(as_bytes(episode(seq))) for seq in range(1, 7)]


def test_the_ring_finds_out_a_wrong_checksum(tmp_path: Path) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 8) as ring:
        header = msgspec.structs.replace(header_of(episode(1), 1), crc32=1)
        ring.insert(header, as_bytes(episode(1)), actor=1, incarnation=7, seq=1)
    with ReplayRing.attach(tmp_path / "ring", SCHEMA, 8, verify=True) as ring:
        assert (len(ring), ring.damaged) == (0, 1)


OTHERS = {
    "agents": EnvSpec("game", 3, 11, 3, 4, 6),
    "actions": EnvSpec("game", 2, 12, 3, 4, 6),
    "observation": EnvSpec("game", 2, 11, 4, 4, 6),
    "state": EnvSpec("game", 2, 11, 3, 5, 6),
    "limit": EnvSpec("game", 2, 11, 3, 4, 7),
}


@pytest.mark.parametrize("what", sorted(OTHERS))
def test_layouts_that_differ_are_described_differently(what: str) -> None:
    assert describe(episode_schema(OTHERS[what])) != describe(SCHEMA)
    assert describe(SCHEMAS["float32"]) != describe(SCHEMAS["float16"])
    assert describe(episode_schema(SPEC)) == describe(SCHEMA)


def test_the_largest_description_fits_into_hello() -> None:
    huge = EnvSpec("x", 10**6, 60_000, 10**9, 10**9, 10**9)
    limit = next(f for f in msgspec.inspect.type_info(m.Hello).fields if f.name == "schema").type.max_length  # type: ignore
    assert len(describe(episode_schema(huge))) < limit
