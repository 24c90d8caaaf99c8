"""The one control of drift between playing and learning: how many episodes are sampled for each one inserted."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any


class SamplesPerInsertLimiter:
    """Keeps the ratio of sampled to inserted episodes, by holding up whichever side is ahead.

    With I episodes inserted, S sampled, B = `batch_size`, ρ = `samples_per_insert`, the first I₀ = `min_episodes` of
    them earn one batch, and each one after them ρ samples:

        earned(I) = B + ρ · max(0, I − I₀)

        can_sample  ⇔  I ≥ I₀  and  S + B ≤ earned(I)
        may_insert  ⇔  I < I₀  or   earned(I) − S < B + ρ · slack_episodes

    So, if each side asks first, these hold at all times:

        S ≤ earned(I)                                      the learner never runs ahead of what was played
        earned(I) − S < B + ρ · (slack_episodes + 1)       once I ≥ I₀: actors run ahead by the slack at most

    Episodes that were on their way when the answer turned to no may still arrive, and add ρ each to the second bound.

    Never are both sides held up: let can_sample be false. Then either I < I₀, and may_insert is true; or
    S + B > earned(I), hence earned(I) − S < B ≤ B + ρ · slack_episodes, and may_insert is true.

    ρ = 16, B = 128, slack 0 is one update for every 8 new episodes. The idea, and the name, are those of the rate
    limiter of Reverb (arXiv 2102.04736). The arithmetic is exact. All methods may be called from any thread.
    """

    def __init__(self, samples_per_insert: float, batch_size: int, min_episodes: int, slack_episodes: int) -> None:
        """Raises ValueError on a ratio or batch size of 0 or below, too few first episodes, or a negative slack."""
        if not samples_per_insert > 0:
            raise ValueError(f"samples_per_insert must be above 0, got {samples_per_insert}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if min_episodes < batch_size:
            raise ValueError(
                f"min_episodes must be at least batch_size ({batch_size}), because a batch is drawn without "
                f"replacement; got {min_episodes}"
            )
        if slack_episodes < 0:
            raise ValueError(f"slack_episodes must be at least 0, got {slack_episodes}")
        ratio = Fraction(str(samples_per_insert))
        # Exact, and fast: all counts of samples are kept times the ratio's denominator, as integers.
        self._ratio, self._unit = ratio.numerator, ratio.denominator
        self._batch = batch_size
        self._min_episodes = min_episodes
        self._slack = slack_episodes
        self._inserted = 0
        self._sampled = 0
        self._first = min_episodes  # I₀: sampling starts here
        self._base = batch_size * self._unit  # what is earned at I₀
        self._lock = threading.Lock()

    def _backlog(self) -> int:
        """earned(I) − S, in units of 1 / denominator."""
        return self._base + self._ratio * max(0, self._inserted - self._first) - self._unit * self._sampled

    def on_insert(self, episodes: int = 1) -> None:
        """Episodes were stored."""
        with self._lock:
            self._inserted += episodes

    def on_sample(self, episodes: int | None = None) -> None:
        """Episodes were sampled; a batch unless said otherwise."""
        with self._lock:
            self._sampled += self._batch if episodes is None else episodes

    def can_sample(self) -> bool:
        """Whether the learner may draw a batch now."""
        with self._lock:
            return self._inserted >= self._first and self._backlog() >= self._batch * self._unit

    def may_insert(self) -> bool:
        """Whether actors may send another episode now."""
        return self.headroom() > 0

    def headroom(self) -> int:
        """How many episodes may come before `may_insert` turns false, if nothing is sampled meanwhile.

        Credit granted to all actors together that stays within it keeps the second bound without an addition.
        """
        with self._lock:
            # The k-th further episode is allowed while the backlog before it is below the bound.
            waiting = max(0, self._first - self._inserted)
            room = self._batch * self._unit + self._ratio * self._slack - self._backlog()
            return waiting if room <= 0 else waiting - (-room // self._ratio)

    @property
    def inserted(self) -> int:
        """Episodes inserted over the whole run."""
        return self._inserted

    @property
    def sampled(self) -> int:
        """Episodes sampled over the whole run, each as often as it was drawn."""
        return self._sampled

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        with self._lock:
            return {
                "inserted": self._inserted,
                "sampled": self._sampled,
                "first": self._first,
                "base": str(Fraction(self._base, self._unit)),
            }

    def load_state_dict(self, state: dict[str, Any], *, inserted: int, stored: int) -> None:
        """Goes on from a checkpoint, with a ring that counts `inserted` episodes in all and holds `stored` of them.

        A ring that went on after the checkpoint has episodes whose samples were not drawn, or whose updates were lost:
        the learner catches up, and actors wait as far as the slack says. A ring that was lost, or holds fewer than
        `min_episodes`, is filled to `min_episodes` before sampling goes on; those episodes earn nothing.
        """
        with self._lock:
            self._first = int(state["first"])
            self._base = int(Fraction(state["base"]) * self._unit)
            self._sampled = int(state["sampled"])
            self._inserted = max(int(state["inserted"]), inserted)
            if stored < self._min_episodes:
                self._base = self._backlog() + self._unit * self._sampled
                self._first = self._inserted + self._min_episodes - stored
