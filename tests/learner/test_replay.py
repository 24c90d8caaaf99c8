"""The replay ring: what is stored, what survives, what is refused."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.learner.batch import BatchBuffers
from powqmix.learner.replay import ReplayRing, RingInUse, RingMismatch
from powqmix.learner.replay_layout import SEQUENCE, SLOT, TERMINATED, TRUNCATED, WON, payload_crc32, required_bytes
from powqmix.learner.replay_sequences import SequenceTable
from powqmix.types import EnvSpec, episode_schema

from .replay_episodes import LIMIT, SCHEMA, Header, assert_whole, assert_whole_of, episode, insert


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.ring"


def test_an_episode_is_stored_as_it_came(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        header, frames = episode(1, actor=2)
        header.truncated, header.terminated, header.battle_won = True, False, True
        # Frames come as memoryviews of messages or as arrays of the schema's dtypes.
        mixed = [memoryview(frames[0].tobytes()), frames[1].view("<f2"), *frames[2:]]
        ring.insert(header, mixed, actor=2, incarnation=2**64 - 1, seq=1)
        assert_whole(ring)
        (record,) = ring.records(ring.stored())
        assert (record["incarnation"], record["parameter_version"]) == (2**64 - 1, header.parameter_version)
        assert record["flags"] == TRUNCATED | WON
        assert record["flags"] & TERMINATED == 0
        assert (len(ring), ring.total_inserted, ring.total_env_steps) == (1, 1, header.steps)


def test_frames_may_come_as_one(tmp_path: Path) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 2) as ring:
        header, frames = episode(1)
        ring.insert(header, [b"".join(frame.tobytes() for frame in frames)], actor=0, incarnation=7, seq=1)
        assert assert_whole(ring) == [1]
        with pytest.raises(ValueError, match="must have"):
            ring.insert(header, [b"".join(frame.tobytes() for frame in frames)[:-1]], actor=0, incarnation=7, seq=2)


def test_the_oldest_episode_is_replaced_when_the_ring_is_full(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        for seq in range(1, 8):
            insert(ring, seq)
        assert assert_whole(ring) == [4, 5, 6, 7]
        assert (len(ring), ring.total_inserted) == (4, 7)
        assert ring.total_env_steps == sum(episode(seq)[0].steps for seq in range(1, 8))


def test_closing_and_attaching_changes_nothing(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        insert(ring, 1, actor=5, incarnation=50)  # replaced below: only the table remembers it
        for seq in range(1, 7):
            insert(ring, seq, actor=1)
        before = ring.total_inserted, ring.total_env_steps, assert_whole(ring)
    with ReplayRing.attach(path, SCHEMA, 4, verify=True) as ring:
        assert (ring.total_inserted, ring.total_env_steps, assert_whole(ring)) == before
        assert (ring.last_seq(5, 50), ring.last_seq(1, 7), ring.last_seq(1, 8), ring.last_seq(9, 7)) == (1, 6, 0, 0)
        insert(ring, 7, actor=1)
        assert assert_whole(ring) == [4, 5, 6, 7]


def test_an_episode_is_stored_once(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        insert(ring, 3)
        with pytest.raises(ValueError, match=r"episode 3 of actor 0 is stored already"):
            insert(ring, 3)
        assert ring.total_inserted == 1


@settings(deadline=None, max_examples=80)
@given(before=st.integers(0, 9), stop=st.integers(0, 16), capacity=st.sampled_from([1, 3, 8]), noise=st.binary())
def test_stopped_at_any_store_the_ring_is_whole(
    tmp_path_factory: pytest.TempPathFactory, before: int, stop: int, capacity: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("ring")
    with ReplayRing.create(folder / "live", SCHEMA, capacity) as ring:
        for seq in range(1, before + 1):
            insert(ring, seq)
        header, frames = episode(before + 1)
        slot = before % capacity
        stores = ring._stores(slot, header, frames, 0, 7, before + 1)
        done = sum(1 for _ in zip(range(stop), stores))
        if 2 <= done <= 2 + len(frames):  # stopped within a copy: anything can be in the payload
            ring._payload[slot * ring.layout.slot_bytes :][: len(noise)] = np.frombuffer(noise, np.uint8)
        shutil.copy(folder / "live", folder / "killed")
    with ReplayRing.attach(folder / "killed", SCHEMA, capacity, verify=True) as ring:
        stored = assert_whole(ring)
        last = ring.last_seq(0, 7)
        assert ring.damaged == 0
        assert last in (before, before + 1)
        assert ring.total_inserted == last
        assert ring.total_env_steps == sum(episode(seq)[0].steps for seq in range(1, last + 1))
        # What the unfinished insertion had taken is the oldest episode, which it replaces.
        oldest = max(1, before + 2 - capacity if done > 1 else before + 1 - capacity)
        assert stored == list(range(oldest, last + 1))
        insert(ring, last + 1)
        assert assert_whole(ring)[-1] == last + 1
    shutil.rmtree(folder)


def test_a_killed_process_leaves_every_accepted_episode_and_no_torn_one(path: Path) -> None:
    capacity = 16
    ReplayRing.create(path, SCHEMA, capacity).close()
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(25):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                ring = ReplayRing.attach(path, SCHEMA, capacity)
                while True:
                    insert(ring, ring.last_seq(0, 7) + 1)
                    os.write(writing, b".")
            os._exit(1)
        os.close(writing)
        wanted = int(rng.integers(1, 60))
        count = 0
        while count < wanted:
            said = os.read(reading, wanted - count)
            assert said, "the child ended by itself"
            count += len(said)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := len(os.read(reading, 1 << 16)):  # accepted between the last look and the kill
            count += more
        os.close(reading)
        accepted += count
        with ReplayRing.attach(path, SCHEMA, capacity, verify=True) as ring:
            stored = assert_whole(ring)
            assert ring.damaged == 0
            # The last one may have been stored without the child having come to say so.
            assert ring.last_seq(0, 7) - accepted in (0, 1)
            accepted = ring.last_seq(0, 7)
            assert ring.total_inserted == accepted
            assert stored[-1] == accepted
            assert len(stored) >= min(capacity - 1, accepted)
            assert stored == list(range(stored[0], accepted + 1))


def test_batches_gathered_while_episodes_are_replaced_are_never_torn(path: Path) -> None:
    schema = episode_schema(EnvSpec("game", n_agents=8, n_actions=9, obs_size=100, state_size=200, episode_limit=60))

    def flood(ring: ReplayRing, stop: threading.Event) -> None:
        seq = ring.total_inserted
        while not stop.is_set():
            seq += 1
            constant(ring, seq)

    def constant(ring: ReplayRing, seq: int) -> None:
        """Every number of the episode is seq modulo 251, which float16 and u8 hold exactly."""
        values = [np.full(f.nbytes(60) // np.dtype(f.dtype).itemsize, seq % 251, f.dtype) for f in schema.fields]
        ring.insert(Header(60, payload_crc32(values), 0, 0.0), values, actor=0, incarnation=1, seq=seq)

    with ReplayRing.create(path, schema, 12) as ring:
        for seq in range(1, 13):
            constant(ring, seq)
        into = BatchBuffers(schema, 4)
        rng = np.random.default_rng(1)
        stop = threading.Event()
        writer = threading.Thread(target=flood, args=(ring, stop))
        writer.start()
        try:
            first = ring.total_inserted
            batches = 0
            while batches < 100 or ring.total_inserted < first + 50:
                batch = ring.gather(ring.sample(rng, 4), into)
                batches += 1
                value = batch.reward[:, :1]
                assert (batch.reward == value).all()
                assert (batch.obs == value[:, :, None, None]).all()
                assert (batch.state == value[:, :, None]).all()
                assert (batch.actions == value[:, :, None]).all()
                assert (batch.terminated == value).all()
        finally:
            stop.set()
            writer.join()


def test_an_insertion_waits_for_the_readers_of_its_slot(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 3) as ring:
        for seq in range(1, 4):
            insert(ring, seq)
        writer = threading.Thread(target=lambda: [insert(ring, seq) for seq in range(4, 9)])
        with ring.pinned(np.array([1, 2])), ring.pinned(np.array([1])):
            writer.start()
            writer.join(0.3)
            assert writer.is_alive()
            assert sorted(assert_whole_of(ring, [1, 2])) == [2, 3]
            assert ring.total_inserted == 4
        writer.join(30)
        assert assert_whole(ring) == [6, 7, 8]


def test_samples_are_distinct_uniform_and_follow_from_the_generator(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 20) as ring:
        for seq in range(1, 11):
            insert(ring, seq)
        with pytest.raises(ValueError, match="cannot sample 11 episodes without replacement: 10 are stored"):
            ring.sample(np.random.default_rng(0), 11)
        draws = [ring.sample(np.random.default_rng(seed), 4) for seed in range(2000)]
        again = [ring.sample(np.random.default_rng(seed), 4) for seed in range(2000)]
        assert all((a == b).all() for a, b in zip(draws, again))
        assert all(len(set(draw.tolist())) == 4 for draw in draws)
        counts = np.bincount(np.concatenate(draws), minlength=20)
        assert counts[10:].sum() == 0
        assert np.abs(counts[:10] - 800).max() < 5 * np.sqrt(2000 * 0.4 * 0.6)


def test_slots_without_an_episode_are_refused(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        insert(ring, 1)
        into = BatchBuffers(SCHEMA, 2)
        with pytest.raises(ValueError, match=r"slots \[3\] hold no episode"):
            ring.gather(np.array([0, 3]), into)
        with pytest.raises(ValueError, match="slots must be between 0 and 3"):
            ring.gather(np.array([0, 4]), into)
        insert(ring, 2)  # and nothing stays pinned


def test_frames_of_a_wrong_size_are_refused_and_change_nothing(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 1) as ring:
        insert(ring, 1)
        header, frames = episode(2)
        with pytest.raises(ValueError, match=r"must have .* bytes"):
            ring.insert(header, [frames[0][:-1], *frames[1:]], actor=0, incarnation=7, seq=2)
        with pytest.raises(ValueError, match=r"must have .* bytes"):
            ring.insert(header, frames[:-1], actor=0, incarnation=7, seq=2)
        header.steps = LIMIT + 1
        with pytest.raises(ValueError, match="steps must be between 1 and 10, got 11"):
            ring.insert(header, frames, actor=0, incarnation=7, seq=2)
        assert assert_whole(ring) == [1]


def test_a_full_file_system_is_an_error_and_not_a_killed_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with ReplayRing.create(path, SCHEMA, 4) as ring:
        insert(ring, 1)
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match=r"--set replay\.path=FOLDER"):
            insert(ring, 2)
        monkeypatch.undo()
        assert assert_whole(ring) == [1]
        insert(ring, 2)
        assert assert_whole(ring) == [1, 2]


def test_a_ring_has_one_owner(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4) as ring:
        insert(ring, 1)
        for second in (ReplayRing.attach, ReplayRing.create):
            with pytest.raises(RingInUse, match=rf"in use by process {os.getpid()}"):
                second(path, SCHEMA, 4)
        assert assert_whole(ring) == [1]
    ReplayRing.attach(path, SCHEMA, 4).close()


def test_a_file_of_another_kind_is_refused_with_the_difference(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ReplayRing.attach(path, SCHEMA, 4)
    ReplayRing.create(path, SCHEMA, 4).close()
    with pytest.raises(RingMismatch, match=r"capacity 4 \(wanted 5\)"):
        ReplayRing.attach(path, SCHEMA, 5)
    exact = episode_schema(EnvSpec("game", 3, 11, 5, 8, LIMIT), dtype="float32")
    with pytest.raises(RingMismatch, match=r"obs <f2 \[3, 5\] \(wanted <f4 \[3, 5\]\).*state_size 7 \(wanted 8\)"):
        ReplayRing.attach(path, exact, 4)
    os.truncate(path, required_bytes(SCHEMA, 4) - 1)
    with pytest.raises(RingMismatch, match="bytes instead of"):
        ReplayRing.attach(path, SCHEMA, 4)
    path.write_bytes(b"PQ")
    with pytest.raises(RingMismatch, match="not a replay ring"):
        ReplayRing.attach(path, SCHEMA, 4)


@settings(deadline=None, max_examples=60)
@given(slot=st.integers(0, 4), bit=st.integers(0, 8 * SLOT.itemsize - 1))
def test_a_flipped_bit_of_a_header_costs_its_episode_only(
    tmp_path_factory: pytest.TempPathFactory, slot: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("ring") / "ring"
    with ReplayRing.create(path, SCHEMA, 5) as ring:
        for seq in range(1, 6):
            insert(ring, seq)
        ring._slots.view(np.uint8).reshape(5, -1)[slot, bit // 8] ^= 1 << bit % 8
    with ReplayRing.attach(path, SCHEMA, 5) as ring:
        assert ring.damaged == 1
        assert assert_whole(ring) == [seq for seq in range(1, 6) if seq != slot + 1]
        assert (ring.total_inserted, ring.last_seq(0, 7)) == (5, 5)
        assert sorted(ring.sample(np.random.default_rng(0), 4)) == [s for s in range(5) if s != slot]
    shutil.rmtree(path.parent)


def test_a_flipped_bit_of_a_payload_is_found_by_verifying(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 5) as ring:
        for seq in range(1, 6):
            insert(ring, seq)
        ring._payload[2 * ring.layout.slot_bytes] ^= 4
    with ReplayRing.attach(path, SCHEMA, 5, verify=True) as ring:
        assert ring.damaged == 1
        assert assert_whole(ring) == [1, 2, 4, 5]


def test_totals_go_on_from_those_of_a_lost_ring(path: Path) -> None:
    with ReplayRing.create(path, SCHEMA, 4, total_inserted=1001, total_env_steps=5000) as ring:
        insert(ring, 1)
        assert (ring.total_inserted, len(ring)) == (1002, 1)
        assert ring.total_env_steps == 5000 + episode(1)[0].steps


def test_a_full_table_forgets_the_incarnation_that_was_silent_longest() -> None:
    table = SequenceTable(np.zeros(3, SEQUENCE))
    for actor, index in ((1, 10), (2, 11), (3, 12), (1, 13)):
        table.note(actor, 0, index, index)
    table.note(4, 0, 1, 14)
    assert [table.last_seq(actor, 0) for actor in (1, 2, 3, 4)] == [13, 0, 12, 1]
    assert [SequenceTable(table.table).last_seq(actor, 0) for actor in (1, 2, 3, 4)] == [13, 0, 12, 1]
