"""The replay ring: what is stored, what survives, what is refused."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.config import ConfigError
from powqmix.learner import replay_place
from powqmix.learner.batch import BatchBuffers
from powqmix.learner.replay import ReplayError, ReplayRing, RingInUse, RingMismatch
from powqmix.learner.replay_layout import SEQUENCE, SLOT, TERMINATED, TRUNCATED, WON, payload_crc32, required_bytes
from powqmix.learner.replay_sequences import SequenceTable
from powqmix.learner.replay_snapshot import read_snapshot, write_snapshot
from powqmix.types import EnvSpec, episode_schema

LIMIT = 10
SCHEMA = episode_schema(EnvSpec("game", n_agents=3, n_actions=11, obs_size=5, state_size=7, episode_limit=LIMIT))


@dataclass
class Header:
    steps: int
    crc32: int
    parameter_version: int
    episode_return: float
    terminated: bool = True
    truncated: bool = False
    battle_won: bool = False
    epsilon: float = 0.5


def episode(seq: int, actor: int = 0, schema: Any = SCHEMA) -> tuple[Header, list[np.ndarray]]:
    """An episode whose bytes, length and header follow from (actor, seq)."""
    rng = np.random.default_rng([actor, seq])
    steps = int(rng.integers(1, schema.episode_limit + 1))
    frames = [rng.integers(0, 256, field.nbytes(steps), dtype=np.uint8) for field in schema.fields]
    return Header(steps, payload_crc32(frames), parameter_version=seq // 3, episode_return=seq / 2), frames


def insert(ring: ReplayRing, seq: int, actor: int = 0, incarnation: int = 7) -> None:
    header, frames = episode(seq, actor, ring.schema)
    ring.insert(header, frames, actor=actor, incarnation=incarnation, seq=seq)


def assert_whole(ring: ReplayRing) -> list[int]:
    """Every stored episode is byte for byte the one that was sent; returns their sequence numbers in order."""
    return assert_whole_of(ring, ring.stored().tolist())


def assert_whole_of(ring: ReplayRing, slots: list[int]) -> list[int]:
    records = ring.records(np.array(slots, np.int64))
    for slot, record in zip(slots, records):
        header, frames = episode(int(record["seq"]), int(record["actor"]))
        assert bytes(ring.payload(slot)) == b"".join(frame.tobytes() for frame in frames)
        assert (record["steps"], record["crc32"]) == (header.steps, header.crc32)
        assert record["insert_index"] % ring.capacity == slot
    return [int(seq) for seq in records["seq"][np.argsort(records["insert_index"])]]


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


@pytest.mark.parametrize("capacity", [3, 6, 50])
def test_a_snapshot_restores_what_fits(tmp_path: Path, capacity: int) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 6) as ring:
        insert(ring, 1, actor=5)
        for seq in range(1, 10):
            insert(ring, seq, actor=1)
        assert write_snapshot(ring, tmp_path / "snapshot") == 6
        totals = ring.total_inserted, ring.total_env_steps
        with pytest.raises(ReplayError, match="it holds 6 episodes"):
            read_snapshot(ring, tmp_path / "snapshot")
    with ReplayRing.create(tmp_path / "restored", SCHEMA, capacity) as ring:
        assert read_snapshot(ring, tmp_path / "snapshot") == min(6, capacity)
        assert assert_whole(ring) == [4, 5, 6, 7, 8, 9][-capacity:]
        assert (ring.total_inserted, ring.total_env_steps) == totals
        assert (ring.last_seq(5, 7), ring.last_seq(1, 7)) == (1, 9)
        insert(ring, 10, actor=1)
    with ReplayRing.attach(tmp_path / "restored", SCHEMA, capacity, verify=True) as ring:
        assert assert_whole(ring)[-1] == 10


def test_an_empty_snapshot_keeps_the_totals(tmp_path: Path) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 6, total_inserted=4, total_env_steps=9) as ring:
        assert write_snapshot(ring, tmp_path / "snapshot") == 0
    with ReplayRing.create(tmp_path / "restored", SCHEMA, 6) as ring:
        assert read_snapshot(ring, tmp_path / "snapshot") == 0
        assert (ring.total_inserted, ring.total_env_steps) == (4, 9)


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_snapshot_gives_whole_episodes_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("ring")
    with ReplayRing.create(folder / "ring", SCHEMA, 5) as ring:
        for seq in range(1, 6):
            insert(ring, seq)
        write_snapshot(ring, folder / "snapshot")
    content = bytearray((folder / "snapshot").read_bytes())
    flipped = int(place * len(content))
    content[flipped] ^= 1 << bit
    (folder / "snapshot").write_bytes(content)
    start, payload = 8, sum(SCHEMA.nbytes(episode(seq)[0].steps) for seq in range(1, 6))
    with ReplayRing.create(folder / "restored", SCHEMA, 5) as ring:
        if flipped >= start + payload:
            with pytest.raises(ReplayError, match="not a whole replay snapshot"):
                read_snapshot(ring, folder / "snapshot")
        else:
            wanted = 5 if flipped < start else 4
            assert read_snapshot(ring, folder / "snapshot") == wanted
            assert len(assert_whole(ring)) == wanted
            assert (ring.total_inserted, ring.last_seq(0, 7)) == (5, 5)
    shutil.rmtree(folder)


def test_a_snapshot_of_other_episodes_is_refused(tmp_path: Path) -> None:
    with ReplayRing.create(tmp_path / "ring", SCHEMA, 5) as ring:
        write_snapshot(ring, tmp_path / "snapshot")
    other = episode_schema(EnvSpec("game", 3, 11, 6, 7, LIMIT))
    with (
        ReplayRing.create(tmp_path / "other", other, 5) as ring,
        pytest.raises(ReplayError, match=r"obs_size 5 \(wanted 6\)"),
    ):
        read_snapshot(ring, tmp_path / "snapshot")


class TestPlace:
    """Where the ring lies."""

    @pytest.fixture(autouse=True)
    def _folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.memory, self.disk = (tmp_path / name for name in ("run", "memory", "disk"))
        self.room = {}
        for folder, room in ((self.run, 1000), (self.memory, 500), (self.disk, 10_000)):
            folder.mkdir()
            self.room[folder] = room
        monkeypatch.setattr(replay_place, "SHARED_MEMORY", self.memory)
        monkeypatch.setattr(replay_place, "_room", self.room.__getitem__)

    def test_shared_memory_comes_first_then_the_run_directory(self) -> None:
        assert replay_place.choose_path("", self.run, 500).parent == self.memory
        assert replay_place.choose_path("", self.run, 501).parent == self.run

    def test_a_ring_that_is_there_is_kept_where_it_is(self) -> None:
        path = replay_place.choose_path("", self.run, 500)
        path.touch()
        self.room[self.memory] = 0
        assert replay_place.choose_path("", self.run, 500) == path

    def test_runs_share_a_folder_without_sharing_a_file(self) -> None:
        paths = {replay_place.choose_path(str(self.disk), self.run.parent / name, 5000) for name in ("run", "disk")}
        assert len(paths) == 2
        assert {path.parent for path in paths} == {self.disk}

    def test_a_ring_that_fits_nowhere_is_refused_with_numbers_and_remedy(self) -> None:
        with pytest.raises(ConfigError, match=r"needs 2.00 GB.*500 bytes.*1.00 kB.*--set replay.path=FOLDER"):
            replay_place.choose_path("", self.run, 2_000_000_000)
        with pytest.raises(ConfigError, match="must be an existing folder"):
            replay_place.choose_path("/no/such/folder", self.run, 10)


def test_the_room_of_a_real_folder_is_below_what_is_free(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    assert 0 < replay_place._room(tmp_path) <= status.f_bavail * status.f_frsize


def test_the_memory_limit_of_a_container_counts(tmp_path: Path) -> None:
    assert replay_place._group_memory_left(tmp_path) == 2**63
    (tmp_path / "memory.current").write_text("300\n")
    for limit, left in (("max", 2**63), ("1000", 700), ("200", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert replay_place._group_memory_left(tmp_path) == left


def test_the_size_is_said_in_one_line() -> None:
    text = replay_place.describe_size(SCHEMA, 5000, Path("/dev/shm/x"))
    assert "5000 episodes" in text
    assert "float16" in text
    assert f"{required_bytes(SCHEMA, 5000) / 1e6:.2f} MB in /dev/shm/x" in text
