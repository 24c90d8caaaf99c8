"""Decoding stored episodes into a padded batch, against numpy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import powqmix._C as _C
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.learner.batch import BatchBuffers, bucket_length, length_buckets
from powqmix.learner.replay import ReplayRing
from powqmix.learner.replay_layout import payload_crc32
from powqmix.types import EnvSpec, EpisodeSchema, episode_schema


def dense_episode(rng: np.random.Generator, schema: EpisodeSchema, steps: int) -> dict[str, np.ndarray]:
    """What the batch must hold of an episode, in the batch's dtypes."""
    real = schema.fields[0].dtype
    agents = schema.n_agents
    return {
        "obs": rng.normal(size=(steps + 1, agents, schema.obs_size)).astype(real).astype(np.float32),
        "state": rng.normal(size=(steps + 1, schema.state_size)).astype(real).astype(np.float32),
        "avail_actions": rng.integers(0, 2, (steps + 1, agents, schema.n_actions), dtype=np.uint8),
        "actions": rng.integers(0, schema.n_actions, (steps, agents)),
        "reward": rng.normal(size=steps).astype(np.float32),
        "terminated": rng.integers(0, 2, steps, dtype=np.uint8),
        "filled": np.ones(steps, np.uint8),
    }


def frames_of(dense: dict[str, np.ndarray], schema: EpisodeSchema) -> list[np.ndarray]:
    arrays = {**dense, "avail_actions": np.packbits(dense["avail_actions"], axis=-1, bitorder="little")}
    return [np.ascontiguousarray(arrays[field.name].astype(field.dtype)) for field in schema.fields]


def payload_of(episodes: list[dict[str, np.ndarray]], schema: EpisodeSchema) -> tuple[np.ndarray, np.ndarray]:
    """The episodes' bytes one after another from an odd address on, and where each begins."""
    content = [b"?"] + [b"".join(frame.tobytes() for frame in frames_of(episode, schema)) for episode in episodes]
    offsets = np.cumsum([0] + [len(part) for part in content])[1:-1]
    return np.frombuffer(b"".join(content), np.uint8), offsets


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 1000),
    agents=st.sampled_from([1, 2, 3, 33]),
    actions=st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17, 36, 257]),
    sizes=st.tuples(st.integers(1, 40), st.integers(0, 40)),
    limit=st.sampled_from([1, 2, 9, 33]),
    rows=st.sampled_from([1, 2, 5]),
    dtype=st.sampled_from(["float16", "float32"]),
    threads=st.sampled_from([1, 3]),
)
def test_a_batch_is_the_episodes_and_zeros_behind_them(
    seed: int, agents: int, actions: int, sizes: tuple[int, int], limit: int, rows: int, dtype: str, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    schema = episode_schema(EnvSpec("game", agents, actions, *sizes, limit), dtype)
    into = BatchBuffers(schema, rows, threads=threads)
    for _ in range(2):  # the second batch is decoded over the first, of other lengths
        steps = rng.integers(1, limit + 1, rows)
        episodes = [dense_episode(rng, schema, int(length)) for length in steps]
        batch = into.fill(*payload_of(episodes, schema), steps)
        length = bucket_length(int(steps.max()), limit)
        assert batch.filled_count == steps.sum()
        for name in episodes[0]:
            got = getattr(batch, name)
            dense = [episode[name] for episode in episodes]
            places = length + 1 if name in ("obs", "state", "avail_actions") else length
            wanted = np.zeros((rows, places, *dense[0].shape[1:]), got.numpy().dtype)
            for row, values in enumerate(dense):
                wanted[row, : len(values)] = values
            assert got.shape == wanted.shape
            assert got.is_contiguous()
            assert np.array_equal(got.numpy(), wanted), name


def test_a_large_batch_on_several_threads_is_that_of_one() -> None:
    schema = episode_schema(EnvSpec("game", 8, 6, 75, 300, 50))
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 51, 16)
    episodes = [dense_episode(rng, schema, int(length)) for length in steps]
    content = payload_of(episodes, schema)
    one, several = (BatchBuffers(schema, 16, threads=threads).fill(*content, steps) for threads in (1, 4))
    assert all(torch.equal(getattr(one, name), getattr(several, name)) for name in episodes[0])


def test_a_batch_from_the_ring_holds_the_sampled_episodes(tmp_path: Path) -> None:
    schema = episode_schema(EnvSpec("game", 3, 11, 5, 7, 10))
    rng = np.random.default_rng(0)
    episodes = {}
    with ReplayRing.create(tmp_path / "ring", schema, 6) as ring:
        for seq in range(1, 9):
            episodes[seq] = dense_episode(rng, schema, int(rng.integers(1, 11)))
            frames = frames_of(episodes[seq], schema)
            header = SimpleNamespace(
                steps=len(episodes[seq]["reward"]), crc32=payload_crc32(frames), parameter_version=0, epsilon=0.0,
                terminated=True, truncated=False, episode_return=0.0, battle_won=False,
            )  # fmt: skip
            ring.insert(header, frames, actor=0, incarnation=1, seq=seq)
        slots = ring.sample(rng, 4)
        batch = ring.gather(slots, BatchBuffers(schema, 4))
        for row, seq in enumerate(ring.records(slots)["seq"].tolist()):
            for name, values in episodes[seq].items():
                assert np.array_equal(getattr(batch, name)[row, : len(values)].numpy(), values), name


@pytest.mark.parametrize("portable", [False, True])
def test_every_float16_is_converted_exactly(portable: bool) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    wanted = halves.view(np.float16).astype(np.float32)
    for start in (0, 1, 3):  # at several alignments, and with a rest behind the last group of 8
        got = _C.half_to_float(halves[start:], portable)
        numbers = ~np.isnan(wanted[start:])
        assert np.array_equal(got.view(np.uint32)[numbers], wanted[start:].view(np.uint32)[numbers])
        assert np.isnan(got[~numbers]).all()


@given(limit=st.integers(1, 5000), data=st.data())
def test_there_are_at_most_eight_lengths_and_the_least_that_holds_the_batch_is_taken(
    limit: int, data: st.DataObject
) -> None:
    buckets = length_buckets(limit)
    assert 1 <= len(buckets) <= 8
    assert buckets[-1] == limit
    steps = data.draw(st.integers(1, limit))
    assert bucket_length(steps, limit) == min(bucket for bucket in buckets if bucket >= steps)


@pytest.mark.parametrize(
    ("limit", "buckets"),
    [(1, (1,)), (2, (1, 2)), (60, (8, 16, 24, 32, 40, 48, 56, 60)), (200, tuple(range(25, 201, 25)))],
)
def test_lengths_of_known_games(limit: int, buckets: tuple[int, ...]) -> None:
    assert length_buckets(limit) == buckets


def test_sizes_that_do_not_fit_are_refused() -> None:
    schema = episode_schema(EnvSpec("game", 2, 3, 4, 5, 6))
    into = BatchBuffers(schema, 2)
    payload = np.zeros(2 * schema.nbytes(3), np.uint8)
    steps = np.array([3, 3])
    with pytest.raises(ValueError, match="hold 2 episodes, got 1 to decode"):
        into.fill(payload, np.array([0]), np.array([3]))
    with pytest.raises(ValueError, match=r"row 1: an episode of 3 steps at byte .* fits neither"):
        into.fill(payload, np.array([0, schema.nbytes(3) + 1]), steps)
    with pytest.raises(ValueError, match="row 0"):
        into.fill(payload, np.array([-1, 0]), steps)
    with pytest.raises(ValueError, match="steps must be between 1 and the limit 6, got 7"):
        into.fill(payload, np.array([0, 0]), np.array([3, 7]))
    with pytest.raises(ValueError, match="row 1: an episode of 0 steps"):
        into.fill(payload, np.array([0, 0]), np.array([3, 0]))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        BatchBuffers(schema, 0)
