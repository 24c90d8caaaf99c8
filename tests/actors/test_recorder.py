"""The recorder writes what numpy would: halves, bits, bytes, in the layout of the schema."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powqmix import _C
from powqmix.actors.rollout import episode_layout
from powqmix.types import EnvSpec, EpisodeSchema, episode_schema

KERNELS = _C.policy_kernels()


def record(schema: EpisodeSchema, steps: list[tuple], last: tuple, isa: str = "auto"):
    """An episode of (obs, state, avail, actions, reward, terminated) steps; `last` is what was seen after them."""
    recorder = _C.Recorder(episode_layout(schema), num_envs=2, isa=isa)
    recorder.begin(1, parameter_version=5, epsilon=0.25)
    for obs, state, avail, actions, reward, terminated in steps:
        recorder.observe(1, obs, state, avail)
        recorder.step(1, actions, reward, terminated)
    recorder.observe(1, *last)
    return recorder.finish(1, terminated=bool(steps[-1][5]), truncated=not steps[-1][5], battle_won=True)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    steps=st.integers(1, 6),
    agents=st.integers(1, 4),
    n_actions=st.sampled_from([1, 7, 8, 9, 17, 256, 257, 300]),
    obs_size=st.integers(1, 19),
    dtype=st.sampled_from(["float16", "float32"]),
    isa=st.sampled_from(KERNELS),
)
def test_an_episode_is_encoded_as_numpy_encodes_it(
    data: st.DataObject, steps: int, agents: int, n_actions: int, obs_size: int, dtype: str, isa: str
) -> None:
    schema = episode_schema(EnvSpec("any", agents, n_actions, obs_size, 3, 6), dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    reals = hnp.arrays(np.float32, (steps + 1, agents, obs_size), elements=st.floats(width=32, allow_nan=False))
    obs = data.draw(reals)
    state = rng.standard_normal((steps + 1, 3)).astype(np.float32)
    avail = rng.integers(0, 2, (steps + 1, agents, n_actions), dtype=np.uint8)
    actions = rng.integers(0, n_actions, (steps, agents), dtype=np.int32)
    reward = rng.standard_normal(steps).astype(np.float32)
    ends = [0] * (steps - 1) + [data.draw(st.integers(0, 1))]
    episode = record(
        schema,
        [(obs[t], state[t], avail[t], actions[t], float(reward[t]), bool(ends[t])) for t in range(steps)],
        (obs[steps], state[steps], avail[steps]),
        isa,
    )
    real = np.dtype(schema.fields[0].dtype)
    with np.errstate(over="ignore"):
        wanted = [
            obs.astype(real),
            state.astype(real),
            np.packbits(avail, axis=-1, bitorder="little"),
            actions.astype(schema.fields[3].dtype),
            reward,
            np.array(ends, np.uint8),
        ]
    for field, got, want in zip(schema.fields, episode.frames, wanted):
        assert got.dtype == np.dtype(field.dtype), field.name
        assert got.shape == (steps + field.extra_steps, *field.shape), field.name
        assert got.nbytes == field.nbytes(steps)
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8), err_msg=field.name)  # bit for bit
    assert (episode.steps, episode.parameter_version, episode.epsilon, episode.battle_won) == (steps, 5, 0.25, True)
    assert episode.episode_return == pytest.approx(float(reward.astype(np.float64).sum()), abs=1e-5)


@pytest.mark.parametrize("isa", KERNELS)
def test_every_half_and_every_midpoint_between_halves_rounds_as_numpy_rounds(isa: str) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = ((halves[:-1].astype(np.float64) + halves[1:]) / 2).astype(np.float32)
    around = np.concatenate(
        [halves, middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9))]
    )
    edges = np.array(
        [65504, 65519.996, 65520, 1e30, np.inf, 2.0**-25, np.nextafter(np.float32(2**-25), 1), 1e-40], np.float32
    )
    values = np.concatenate([around, -around, edges, -edges])
    schema = episode_schema(EnvSpec("wide", 1, 1, len(values), 1, 1))
    blank = (np.zeros(1, np.float32), np.ones((1, 1), np.uint8))
    episode = record(schema, [(values[None], *blank, np.zeros(1, np.int32), 0.0, True)], (values[None], *blank), isa)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(
            episode.frames[0][0, 0].view(np.uint16), values.astype(np.float16).view(np.uint16)
        )


@pytest.mark.parametrize("isa", KERNELS)
def test_nan_stays_nan(isa: str) -> None:
    schema = episode_schema(EnvSpec("nan", 1, 1, 9, 1, 1))
    seen = (np.full((1, 9), np.nan, np.float32), np.zeros(1, np.float32), np.ones((1, 1), np.uint8))
    episode = record(schema, [(*seen, np.zeros(1, np.int32), 0.0, True)], seen, isa)
    assert np.isnan(episode.frames[0]).all()


def test_a_buffer_returns_to_the_pool_when_its_last_frame_is_gone() -> None:
    schema = episode_schema(EnvSpec("pool", 1, 2, 3, 1, 4))
    seen = (np.ones((1, 3), np.float32), np.zeros(1, np.float32), np.ones((1, 2), np.uint8))

    def one_episode(recorder):
        recorder.begin(0, parameter_version=0, epsilon=0.0)
        recorder.observe(0, *seen)
        recorder.step(0, np.zeros(1, np.int32), 1.0, True)
        recorder.observe(0, *seen)
        return recorder.finish(0, terminated=True, truncated=False, battle_won=False)

    recorder = _C.Recorder(episode_layout(schema), num_envs=1)
    first = one_episode(recorder)
    frame = first.frames[0]
    address = frame.ctypes.data
    del first
    gc.collect()
    assert recorder.free_buffers == 0  # the frame is still read
    second = one_episode(recorder)
    assert second.frames[0].ctypes.data != address
    np.testing.assert_array_equal(frame, np.ones((2, 1, 3)))
    del frame
    gc.collect()
    assert recorder.free_buffers == 1
    assert one_episode(recorder).frames[0].ctypes.data == address
    kept = one_episode(recorder).frames
    del recorder, second
    gc.collect()
    np.testing.assert_array_equal(kept[0], np.ones((2, 1, 3)))  # frames outlive the recorder


def test_misuse_is_refused() -> None:
    schema = episode_schema(EnvSpec("limit", 1, 2, 3, 1, 1))
    recorder = _C.Recorder(episode_layout(schema), num_envs=1)
    seen = (np.ones((1, 3), np.float32), np.zeros(1, np.float32), np.ones((1, 2), np.uint8))
    with pytest.raises(RuntimeError, match="env 0 has no open episode"):
        recorder.observe(0, *seen)
    recorder.begin(0, parameter_version=0, epsilon=0.0)
    with pytest.raises(RuntimeError, match="env 0 has no recorded steps"):
        recorder.finish(0, terminated=True, truncated=False, battle_won=False)
    recorder.observe(0, *seen)
    recorder.step(0, np.zeros(1, np.int32), 1.0, False)
    with pytest.raises(ValueError, match="went past its episode_limit of 1 steps"):
        recorder.step(0, np.zeros(1, np.int32), 1.0, False)
    with pytest.raises(ValueError, match=r"state must be .*float32 \[1\], got float32 \[2\]"):
        recorder.observe(0, seen[0], np.zeros(2, np.float32), seen[2])
    assert recorder.abort() == 1
    assert recorder.abort() == 0
