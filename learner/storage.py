"""Where accepted episodes go: the replay ring of a run, found again or made, and what is told of each episode."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from powqmix.config import Config
from powqmix.types import EpisodeSchema
from powqmix.wire.messages import EpisodeHeader

from .limiter import SamplesPerInsertLimiter
from .replay import ReplayRing
from .replay_layout import required_bytes
from .replay_place import choose_path, describe_size
from .replay_snapshot import read_snapshot, write_snapshot

log = logging.getLogger("powqmix.learner")

SNAPSHOT_NAME = "replay.snapshot"


def open_ring(run_dir: Path, config: Config, schema: EpisodeSchema, *, resume: bool) -> ReplayRing:
    """A new ring, or on `resume` the one that the run left: in place, in its snapshot, or (said loudly) lost.

    Raises ConfigError if it fits nowhere, ReplayError if what is there belongs to another configuration.
    """
    capacity = config.replay.capacity
    path = choose_path(config.replay.path, run_dir, required_bytes(schema, capacity))
    log.info("%s", describe_size(schema, capacity, path))
    snapshot = run_dir / SNAPSHOT_NAME
    if resume and path.exists():
        ring = ReplayRing.attach(path, schema, capacity, verify=True)
        if ring.damaged:
            log.warning("%d stored episodes were damaged and are left out", ring.damaged)
        return ring
    ring = ReplayRing.create(path, schema, capacity)
    if resume and snapshot.exists():
        read_snapshot(ring, snapshot)
    elif resume:
        log.warning("the stored episodes of this run are gone (neither %s nor %s): replay fills anew", path, snapshot)
    return ring


def leave_ring(ring: ReplayRing, run_dir: Path, *, keep: bool) -> None:
    """Ends a run's use of its ring: with `keep` the episodes stay in a snapshot, and shared memory is given back.

    Where the snapshot cannot be written the ring itself stays, so that nothing is lost.
    """
    snapshot = run_dir / SNAPSHOT_NAME
    if keep and len(ring):
        try:
            write_snapshot(ring, snapshot)
        except OSError as error:
            log.warning("no snapshot of the stored episodes (%s); they stay in %s for --resume", error, ring.path)
            ring.close()
            return
    else:
        snapshot.unlink(missing_ok=True)
    ring.unlink()


class StoredEpisodes:
    """The receiver's sink. `insert` is called in the receiver's turns, the rest by the main thread.

    An episode is counted only after it is whole in the ring, so a counter never runs ahead of what is stored.
    """

    def __init__(self, ring: ReplayRing, limiter: SamplesPerInsertLimiter) -> None:
        self._ring, self._limiter = ring, limiter
        self._lock = threading.Lock()
        self._returns = 0.0
        self._steps = 0
        self._wins = 0
        self._episodes = 0

    def insert(self, header: EpisodeHeader, frames: list[Any], *, actor: int, incarnation: int, seq: int) -> None:
        self._ring.insert(header, frames, actor=actor, incarnation=incarnation, seq=seq)
        self._limiter.on_insert()
        with self._lock:
            self._returns += header.episode_return
            self._steps += header.steps
            self._wins += header.battle_won
            self._episodes += 1

    def last_seq(self, actor: int, incarnation: int) -> int:
        return self._ring.last_seq(actor, incarnation)

    def take_means(self) -> dict[str, float]:
        """Mean return, length and win rate of the training episodes since the last call; {} if there were none."""
        with self._lock:
            count = self._episodes
            if count == 0:
                return {}
            means = {
                "return_mean": self._returns / count,
                "episode_length_mean": self._steps / count,
                "win_rate": self._wins / count,
            }
            self._returns, self._steps, self._wins, self._episodes = 0.0, 0, 0, 0
        return means
