"""Where the replay ring lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from powqmix.config import ConfigError
from powqmix.learner import replay_place
from powqmix.learner.replay_layout import required_bytes

from .replay_episodes import SCHEMA


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
