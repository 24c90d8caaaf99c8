"""The actor's side of delivery: a window of episodes that are kept until the learner has settled them.

Pure: no socket, no clock of its own. Sequence numbers start at 1. Go-back-N: what was sent and not acknowledged in
time, or before a reconnect, is sent again from the first one on, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from powqmix.types import Episode


class SendWindow:
    """`_pending` holds the episodes acked_upto + 1 .. offered, in order; nothing above allowed_upto is ever sent."""

    def __init__(self, retransmit_s: float = 10.0) -> None:
        self.retransmit_s = retransmit_s
        self.acked_upto = 0
        self.sent = 0  # highest sequence number ever sent
        self.offered = 0  # highest sequence number ever given
        self.allowed_upto = 0  # acknowledged + credit
        self._closed = False
        self._next = 1  # the next to send; falls back for a retransmission
        self._pending: deque[Episode] = deque()
        self._progress_at = 0.0

    def offer(self, episode: Episode) -> int:
        """Takes a finished episode and returns its sequence number."""
        self.offered += 1
        self._pending.append(episode)
        return self.offered

    @property
    def blocked(self) -> bool:
        """Whether a finished episode may not be sent for want of credit."""
        return self._next <= self.offered and self._next > self.allowed_upto

    @property
    def unsettled(self) -> int:
        """Episodes given and not yet acknowledged."""
        return self.offered - self.acked_upto

    def sendable(self, now: float) -> bool:
        """Whether `take` would give something."""
        again = self._next > self.acked_upto + 1 and now - self._progress_at > self.retransmit_s
        return again or self._next <= min(self.offered, self.allowed_upto)

    def take(self, now: float) -> Iterator[tuple[int, Episode]]:
        """What may be sent now, in order."""
        if self._next > self.acked_upto + 1 and now - self._progress_at > self.retransmit_s:
            self._next = self.acked_upto + 1
        while self._next <= min(self.offered, self.allowed_upto):
            seq = self._next
            if seq == self.acked_upto + 1:
                self._progress_at = now
            self._next += 1
            self.sent = max(self.sent, seq)
            yield seq, self._pending[seq - self.acked_upto - 1]

    def on_ack(self, upto: int, credit: int, now: float) -> None:
        """All up to `upto` is settled. An older acknowledgement changes nothing."""
        if upto > self.offered:
            return  # not of this incarnation's making
        if upto > self.acked_upto:
            for _ in range(upto - self.acked_upto):
                self._pending.popleft()
            self.acked_upto = upto
            self._next = max(self._next, upto + 1)
            self._progress_at = now
        if upto >= self.acked_upto and not self._closed:
            self.allowed_upto = max(self.allowed_upto, upto + credit)

    def on_welcome(self, last_seq_acked: int, credit: int, now: float) -> None:
        """A learner, perhaps a new one, says where it stands: everything after that is sent again.

        What an earlier learner acknowledged stays acknowledged: it is in the ring that the new one took over.
        """
        self.on_ack(max(last_seq_acked, self.acked_upto), 0, now)
        if not self._closed:
            self.allowed_upto = self.acked_upto + credit
        self._next = self.acked_upto + 1
        self._progress_at = now

    def stop_crediting(self) -> None:
        """From now on nothing goes out but what was sent before and is not settled: the run drains."""
        self._closed = True
        self.allowed_upto = self.sent
