"""Where accepted episodes go: the replay ring, and what the main thread wants to know of each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from powqmix.wire.messages import EpisodeHeader

from .limiter import SamplesPerInsertLimiter
from .replay import ReplayRing


class StoredEpisodes:
    """The receiver's sink. `insert` is called by the receiver's thread; the rest by the main one.

    An episode is counted only after it is whole in the ring, so a counter never runs ahead of what is stored.
    """

    def __init__(self, ring: ReplayRing, limiter: SamplesPerInsertLimiter, arrived: Callable[[], None]) -> None:
        self._ring, self._limiter, self._arrived = ring, limiter, arrived
        self._lock = threading.Lock()
        self._returns = 0.0
        self._lengths = 0
        self._wins = 0
        self._episodes = 0

    def insert(self, header: EpisodeHeader, frames: Sequence[Any], *, actor: int, incarnation: int, seq: int) -> None:
        self._ring.insert(header, frames, actor=actor, incarnation=incarnation, seq=seq)
        self._limiter.on_insert()
        with self._lock:
            self._returns += header.episode_return
            self._lengths += header.steps
            self._wins += header.battle_won
            self._episodes += 1
        self._arrived()

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
                "episode_length_mean": self._lengths / count,
                "win_rate": self._wins / count,
            }
            self._returns, self._lengths, self._wins, self._episodes = 0.0, 0, 0, 0
        return means
