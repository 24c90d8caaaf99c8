"""Snapshots of the replay ring: what they bring back, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.learner.replay import ReplayError, ReplayRing
from powqmix.learner.replay_snapshot import read_snapshot, write_snapshot
from powqmix.types import EnvSpec, episode_schema

from .replay_episodes import LIMIT, SCHEMA, assert_whole, episode, insert


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
