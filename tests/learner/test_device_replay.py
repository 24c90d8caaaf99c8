"""Stored episodes on the device: decoding, following the ring, what crosses the bus; emulated and on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from powqmix import config
from powqmix.config import ConfigError
from powqmix.learner import batches as learner_batches
from powqmix.learner.batch import BatchBuffers
from powqmix.learner.batch_memory import BatchMemory
from powqmix.learner.batches import Batches, CopiedBatches, DeviceBatches, HostBatches, batches_for
from powqmix.learner.device_replay import DeviceReplay, device_copy_wanted
from powqmix.learner.episode_decoder import EpisodeDecoder
from powqmix.learner.replay import ReplayRing
from powqmix.types import EnvSpec, EpisodeBatch, episode_schema

from ..cuda_emulation import WHERE_THERE_IS_CUDA
from .decoding import FIELDS, check_decoding, content_of

SPEC = EnvSpec("game", n_agents=3, n_actions=11, obs_size=5, state_size=7, episode_limit=10)
SCHEMA = episode_schema(SPEC)
CPU = torch.device("cpu")


def same(left: EpisodeBatch, right: EpisodeBatch) -> bool:
    fields = all(torch.equal(getattr(left, n).cpu(), getattr(right, n).cpu()) for n in FIELDS)
    return fields and left.filled_count == right.filled_count


@WHERE_THERE_IS_CUDA
def test_what_a_devices_threads_decode_is_what_the_host_does(device: str) -> None:
    draw = np.random.default_rng(5)
    for seed in range(80):
        agents, actions = int(draw.choice([1, 2, 3, 33])), int(draw.choice([1, 2, 7, 8, 9, 17, 36, 257]))
        sizes, limit = draw.integers(0, 41, 2).tolist(), int(draw.choice([1, 2, 9, 33]))
        spec = EnvSpec("game", agents, actions, max(1, sizes[0]), sizes[1], limit)
        check_decoding(
            device, episode_schema(spec, str(draw.choice(["float16", "float32"]))), int(draw.integers(1, 6)), seed
        )


@WHERE_THERE_IS_CUDA
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    ("agents", "actions", "obs_size", "state_size", "limit", "rows"),
    [
        (1, 1, 1, 0, 1, 1),
        (3, 9, 5, 7, 33, 5),
        (8, 15, 136, 230, 170, 16),
        (33, 257, 40, 1, 9, 3),
        (27, 36, 285, 1170, 60, 4),
    ],
)
def test_so_they_do_at_the_sizes_of_games(
    agents: int, actions: int, obs_size: int, state_size: int, limit: int, rows: int, dtype: str, device: str
) -> None:
    schema = episode_schema(EnvSpec("game", agents, actions, obs_size, state_size, limit), dtype)
    for seed in range(3):
        check_decoding(device, schema, rows, seed)


class Filling:
    """A ring that random episodes are inserted into."""

    def __init__(self, folder: Path, capacity: int, seed: int = 0) -> None:
        self.ring = ReplayRing.create(folder / "ring", SCHEMA, capacity)
        self.rng = np.random.default_rng(seed)
        self._seq = 0

    def insert(self, count: int) -> None:
        for _ in range(count):
            steps = int(self.rng.integers(1, SPEC.episode_limit + 1))
            header: Any = SimpleNamespace(
                steps=steps, crc32=0, parameter_version=0, epsilon=0.0, terminated=True, truncated=False,
                episode_return=0.0, battle_won=False,
            )  # fmt: skip
            self._seq += 1
            content = content_of(SCHEMA, steps, self.rng)
            self.ring.insert(header, [content], actor=0, incarnation=1, seq=self._seq)


@WHERE_THERE_IS_CUDA
def test_the_copy_follows_insertions_around_the_ring(device: str, tmp_path: Path) -> None:
    filling = Filling(tmp_path, 12)
    with filling.ring as ring:
        replay = DeviceReplay(ring, BatchMemory(SCHEMA, 5, device), torch.device(device))
        buffers = BatchBuffers(SCHEMA, 5)
        filling.insert(6)
        for _ in range(60):
            slots = ring.sample(filling.rng, 5)
            assert same(replay.decode(replay.send(slots)), ring.gather(slots, buffers))
            filling.insert(int(filling.rng.integers(0, 4)))
        assert ring.total_inserted > 5 * 12


@WHERE_THERE_IS_CUDA
def test_only_what_is_not_there_yet_crosses_the_bus(device: str, tmp_path: Path) -> None:
    filling = Filling(tmp_path, 6)
    with filling.ring as ring:
        replay = DeviceReplay(ring, BatchMemory(SCHEMA, 4, device), torch.device(device))
        filling.insert(6)
        for slots, sent in (([0, 1, 2, 3], 4), ([3, 2, 1, 0], 4), ([2, 3, 4, 5], 6)):
            replay.decode(replay.send(np.array(slots)))
            assert replay.episodes_sent == sent
        filling.insert(2)  # into slots 0 and 1
        for slots, sent in (([2, 3, 4, 5], 6), ([1, 2, 3, 4], 7), ([0, 1, 2, 3], 8)):
            replay.decode(replay.send(np.array(slots)))
            assert replay.episodes_sent == sent


@WHERE_THERE_IS_CUDA
def test_a_batch_is_what_was_in_the_ring_when_it_was_sent(device: str, tmp_path: Path) -> None:
    filling = Filling(tmp_path, 4)
    with filling.ring as ring:
        replay = DeviceReplay(ring, BatchMemory(SCHEMA, 3, device), torch.device(device))
        filling.insert(4)
        slots = np.array([0, 1, 2])
        sent = replay.send(slots)
        wanted = ring.gather(slots, BatchBuffers(SCHEMA, 3))
        filling.insert(4)
        assert same(replay.decode(sent), wanted)
        assert same(replay.decode(replay.send(slots)), ring.gather(slots, BatchBuffers(SCHEMA, 3)))


@WHERE_THERE_IS_CUDA
def test_a_slot_without_an_episode_is_refused_and_nothing_is_taken_for_sent(device: str, tmp_path: Path) -> None:
    filling = Filling(tmp_path, 4)
    with filling.ring as ring:
        replay = DeviceReplay(ring, BatchMemory(SCHEMA, 2, device), torch.device(device))
        filling.insert(1)
        with pytest.raises(ValueError, match=r"slots \[1\] hold no episode"):
            replay.send(np.array([0, 1]))
        assert replay.episodes_sent == 0
        filling.insert(1)
        slots = np.array([0, 1])
        assert same(replay.decode(replay.send(slots)), ring.gather(slots, BatchBuffers(SCHEMA, 2)))


def sources(ring: ReplayRing, device: str) -> dict[str, Batches]:
    """All that give batches on a device, each with a generator of the same state."""
    where = torch.device(device)
    made: dict[str, Batches] = {
        "copied": CopiedBatches(ring, np.random.default_rng(1), 4, where),
        "device": DeviceBatches(ring, np.random.default_rng(1), BatchMemory(SCHEMA, 4, where), where),
    }
    return made


@WHERE_THERE_IS_CUDA
@pytest.mark.parametrize("name", ["copied", "device"])
def test_batches_are_those_of_the_ring_in_its_order(device: str, name: str, tmp_path: Path) -> None:
    filling = Filling(tmp_path, 9)
    with filling.ring as ring:
        filling.insert(5)
        batches, host = sources(ring, device)[name], HostBatches(ring, np.random.default_rng(1), 4)
        for _ in range(30):
            assert same(batches.next(), host.next())
            filling.insert(int(filling.rng.integers(0, 3)))


@WHERE_THERE_IS_CUDA
@pytest.mark.parametrize("name", ["copied", "device"])
def test_a_prefetched_batch_is_drawn_when_it_is_fetched_and_leaves_the_last_alone(
    device: str, name: str, tmp_path: Path
) -> None:
    filling = Filling(tmp_path, 9)
    with filling.ring as ring:
        filling.insert(5)
        batches, host = sources(ring, device)[name], HostBatches(ring, np.random.default_rng(1), 4)
        batch, wanted = batches.next(), host.next()
        for _ in range(20):
            before = {n: getattr(batch, n).clone() for n in FIELDS}
            batches.prefetch()
            batches.prefetch()  # has been done
            assert all(torch.equal(getattr(batch, n), before[n]) for n in FIELDS)
            wanted = host.next()
            filling.insert(int(filling.rng.integers(0, 4)))
            batch = batches.next()
            assert same(batch, wanted)


@WHERE_THERE_IS_CUDA
@pytest.mark.parametrize("name", ["copied", "device"])
def test_copies_beside_a_busy_device_change_no_batch(device: str, name: str, tmp_path: Path) -> None:
    """Nothing here waits: work piles up on the device while the host overwrites slots and pinned memory."""
    filling, found, wanted = Filling(tmp_path, 6), [], []
    with filling.ring as ring:
        filling.insert(6)
        batches, host = sources(ring, device)[name], HostBatches(ring, np.random.default_rng(1), 4)
        for _ in range(40):
            batches.prefetch()
            wanted.append({n: getattr(host_batch, n).clone() for host_batch in [host.next()] for n in FIELDS})
            filling.insert(int(filling.rng.integers(1, 5)))
            batch = batches.next()
            if device == "cuda":
                torch.cuda._sleep(1_000_000)  # cycles, before the batch is read
            found.append({n: getattr(batch, n).clone() for n in FIELDS})
    for left, right in zip(found, wanted):
        assert all(torch.equal(left[n].cpu(), right[n]) for n in FIELDS)


GIGABYTE = 10**9
CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("setting", "nbytes", "device", "wanted"),
    [
        ("auto", 4 * GIGABYTE, CUDA, True), ("auto", 6 * GIGABYTE, CUDA, False), ("auto", 1, CPU, False),
        ("on", 8 * GIGABYTE, CUDA, True), ("off", 1, CUDA, False), ("off", 1, CPU, False),
    ],
)  # fmt: skip
def test_a_copy_is_made_where_there_is_room(setting: str, nbytes: int, device: torch.device, wanted: bool) -> None:
    assert device_copy_wanted(setting, nbytes, device, 10 * GIGABYTE) is wanted


def test_a_copy_that_must_be_and_cannot_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"on needs 9.00 GB .* 8.50 GB can be used \(85% of the 10.00 GB that are free"
    ):
        device_copy_wanted("on", 9 * GIGABYTE, CUDA, 10 * GIGABYTE)
    with pytest.raises(ConfigError, match="device_copy=on needs a CUDA device; use auto or off"):
        device_copy_wanted("on", 1, CPU, 0)
    with pytest.raises(ConfigError, match=r"replay.device_copy must be 'auto', 'on' or 'off', got 'maybe'"):
        config.resolve(assignments=("replay.device_copy=maybe",))
    assert config.resolve(assignments=("replay.device_copy=on",)).replay.device_copy == "on"  # a truth value of YAML's


def test_on_a_cpu_batches_are_the_rings_own(tmp_path: Path) -> None:
    filling = Filling(tmp_path, 4)
    with filling.ring as ring:
        settings = config.resolve(assignments=("training.batch_size=4",))
        found = learner_batches.batches_for(settings, ring, np.random.default_rng(0), CPU, None)
        assert isinstance(found, HostBatches)
        with pytest.raises(ConfigError, match="needs a CUDA device"):
            batches_for(config.change(settings, ["replay.device_copy=on"]), ring, np.random.default_rng(0), CPU, None)


def test_episodes_too_large_for_32_bits_and_tensors_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match=r"too large to be decoded on the device; --set replay.device_copy=off"):
        EpisodeDecoder(episode_schema(EnvSpec("game", 1000, 5, 3000, 1, 1000)))
    decode, into = EpisodeDecoder(SCHEMA), BatchMemory(SCHEMA, 2).tensors(2, 4)
    index = torch.ones(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"offsets and steps must be int64 \[2\], got \[1\]"):
        decode(torch.zeros(9, dtype=torch.uint8), index[:1], index[:1], into)
    with pytest.raises(ValueError, match="must be contiguous and on cpu"):
        decode(torch.zeros(9, dtype=torch.uint8), torch.ones(4, dtype=torch.int64)[::2], index, into)
