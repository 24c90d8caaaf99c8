"""The learner's side of delivery: who the actors are, what of theirs is settled, and what is answered to each message.

Pure: no socket, no clock of its own, and no exception on any input. An episode is acknowledged after the sink has it
whole; one that is there already is acknowledged again and not stored; one that leaves a gap is not accepted: the actor
is told to say HELLO again, and then sends again from the first unacknowledged one on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from powqmix.types import EpisodeSchema

from . import messages as m
from .frames import checksum, describe, fault

STRIKES = 3  # unreadable messages after which a peer is no longer listened to


class EpisodeSink(Protocol):
    """Where accepted episodes go: the replay ring."""

    def insert(self, header: m.EpisodeHeader, frames: list[Any], *, actor: int, incarnation: int, seq: int) -> None: ...

    def last_seq(self, actor: int, incarnation: int) -> int: ...


class Throttle(Protocol):
    """How many more episodes may come: the samples-per-insert limiter."""

    def headroom(self) -> int: ...


@dataclass
class ActorState:
    """One incarnation of one actor."""

    actor: int
    incarnation: int
    role: m.Role
    peer: bytes
    settled_before: int  # settled by an earlier learner process, which counted those
    settled: int  # everything up to here is stored or refused
    sent: int  # the highest the actor reports
    acked_upto: int  # the highest the actor knows to be acknowledged
    allowed_upto: int = 0
    rejects: int = 0
    stalled_s: float = 0.0
    env_steps: int = 0
    aborted: int = 0
    heard_at: float = 0.0
    connected: bool = True
    left: bool = False  # said BYE

    @property
    def outstanding(self) -> int:
        """Episodes that it may send and has not."""
        return max(0, self.allowed_upto - self.settled) if self.connected and not self.left else 0


@dataclass
class Reply:
    """A message for one peer, with the frames behind it."""

    peer: bytes
    message: m.Message
    frames: Sequence[Any] = field(default_factory=list)


class Sessions:
    """State of all actors. Called by one thread.

    In lockstep nothing is granted but by `grant`; otherwise credit is handed out as the throttle allows, at most
    `credit` to an actor.
    """

    def __init__(
        self,
        *,
        run_id: str,
        env_id: str,
        schema: EpisodeSchema,
        sink: EpisodeSink,
        throttle: Throttle,
        credit: int,
        lockstep: bool,
        epoch: int,
        parameters_path: str,
        heartbeat_ms: int,
        parameter_version: Callable[[], int],
        epsilon: Callable[[], float],
        parameters: Callable[[], tuple[int, bytes]],
        on_test_result: Callable[[m.TestResult], None],
    ) -> None:
        self.run_id, self.env_id, self.schema, self.sink, self.throttle = run_id, env_id, schema, sink, throttle
        self.credit, self.lockstep, self.epoch = credit, lockstep, epoch
        self.parameters_path, self.heartbeat_ms = parameters_path, heartbeat_ms
        self._layout = describe(schema)
        self._parameter_version, self._epsilon, self._parameters = parameter_version, epsilon, parameters
        self._on_test_result = on_test_result
        self.actors: dict[int, ActorState] = {}  # by incarnation
        self._by_peer: dict[bytes, ActorState] = {}
        self._strikes: Counter[bytes] = Counter()
        self.stored = 0
        self.duplicated = 0
        self.rejected: Counter[str] = Counter()  # episodes, by reason
        self.refused: Counter[str] = Counter()  # messages that are no episode of anybody, by reason
        self.lags: Counter[int] = Counter()  # parameter versions behind, by stored episode
        self._test: m.Test | None = None
        self._round = 0  # lockstep: granted while the actor was not there yet
        self._draining = False

    # -- Messages in -----------------------------------------------------------------------------------------------

    def handle(self, peer: bytes, frames: Sequence[Any], now: float) -> list[Reply]:
        """Takes one message; returns what to answer. An episode's acknowledgement comes from `acknowledge`."""
        if self._strikes[peer] >= STRIKES:
            self.refused["closed peer"] += 1
            return []
        try:
            message = m.decode_from_actor(frames[0]) if frames else None
        except m.DECODE_ERRORS:
            message = None
        if message is None:
            return self._strike(peer, "unreadable")
        if isinstance(message, m.Hello):
            return self._hello(peer, message, now)
        state = self._by_peer.get(peer)
        if state is None or state.incarnation != message.incarnation:
            self.refused["no hello"] += 1
            return [Reply(peer, m.Unknown())]
        state.heard_at = now
        state.connected = True
        if isinstance(message, m.EpisodeHeader):
            return self._episode(state, message, frames[1:])
        if isinstance(message, m.Ping):
            self._note_counts(state, message)
            state.env_steps, state.stalled_s = message.env_steps, message.stalled_s
            return [*self._outstanding(state), self._ack(state)]
        if isinstance(message, m.Fetch):
            version, vector = self._parameters()
            return [Reply(peer, m.Parameters(version, checksum([vector])), [vector])]
        if isinstance(message, m.TestResult):
            self._take_test_result(message)
            return [Reply(peer, m.TestAck(message.test_id))]
        self._note_counts(state, message)
        state.left = True
        return [Reply(peer, m.ByeAck())]

    def _strike(self, peer: bytes, reason: str) -> list[Reply]:
        self.refused[reason] += 1
        self._strikes[peer] += 1
        if self._strikes[peer] < STRIKES:
            return []
        state = self._by_peer.pop(peer, None)
        if state is not None:
            state.connected = False
        return [Reply(peer, m.Refuse("unreadable", f"{STRIKES} messages could not be read; this peer is closed"))]

    def _hello(self, peer: bytes, hello: m.Hello, now: float) -> list[Reply]:
        refusal = self._objection(hello)
        if refusal is not None:
            self.refused[refusal.code] += 1
            return [Reply(peer, refusal)]
        stored = self.sink.last_seq(hello.actor, hello.incarnation)
        state = self.actors.get(hello.incarnation)
        if state is None:
            state = ActorState(hello.actor, hello.incarnation, hello.role, peer, stored, stored, stored, stored)
            self.actors[hello.incarnation] = state
        elif state.peer != peer:
            self._by_peer.pop(state.peer, None)
        for other in self.actors.values():
            same_place = other.actor == state.actor and other.role == state.role
            if other is not state and (same_place or other.peer == peer):
                other.connected = False  # its successor has come
        state.peer, state.connected, state.heard_at = peer, True, now
        self._by_peer[peer] = state
        if self._round and state.role == "train":
            state.allowed_upto, self._round = state.settled + self._round, 0
        welcome = m.Welcome(
            self.epoch, state.settled, self._top_up(state), self._parameter_version(),
            self.parameters_path, self.heartbeat_ms, self._epsilon(), self.lockstep,
        )  # fmt: skip
        return [Reply(peer, welcome), *self._outstanding(state)]

    def _objection(self, hello: m.Hello) -> m.Refuse | None:
        if hello.protocol != m.PROTOCOL:
            return m.Refuse("protocol", f"the learner speaks protocol {m.PROTOCOL}, the actor {hello.protocol}")
        if hello.run != self.run_id:
            return m.Refuse("run", f"this learner trains run {self.run_id!r}, the actor is of {hello.run!r}")
        if hello.env_id != self.env_id:
            return m.Refuse("environment", f"the run plays {self.env_id!r}, the actor {hello.env_id!r}")
        if hello.schema != self._layout:
            theirs = hello.schema[: len(self._layout) + 100]
            return m.Refuse("schema", f"episodes are laid out as [{self._layout}], the actor's as [{theirs}]")
        if hello.max_episode_bytes != self.schema.max_nbytes:
            return m.Refuse(
                "size", f"an episode is at most {self.schema.max_nbytes} bytes, the actor's {hello.max_episode_bytes}"
            )
        mine = [a for a in self.actors.values() if a.role == "train" and a.incarnation != hello.incarnation]
        if self.lockstep and hello.role == "train" and mine:
            return m.Refuse("lockstep", "a lockstep run has one actor, and it was lost; go on with --resume")
        return None

    def _note_counts(self, state: ActorState, message: m.EpisodeHeader | m.Ping | m.Bye) -> None:
        state.sent = max(state.sent, message.sent)
        state.acked_upto = max(state.acked_upto, message.acked_upto)
        if state.acked_upto > state.settled == state.settled_before:
            # What an earlier learner refused is settled too, and only the actor knows.
            state.allowed_upto += state.acked_upto - state.settled
            state.settled_before = state.settled = state.acked_upto
        if not isinstance(message, m.EpisodeHeader):
            state.aborted = message.aborted

    def _episode(self, state: ActorState, header: m.EpisodeHeader, frames: Sequence[Any]) -> list[Reply]:
        if state.role != "train":
            self.refused["not a player"] += 1
            return []
        self._note_counts(state, header)
        if header.seq <= state.settled:
            self.duplicated += 1
            return []
        if header.seq > state.settled + 1:
            self.refused["out of order"] += 1
            return [Reply(state.peer, m.Unknown())]
        if sum(len(frame) for frame in frames) > self.schema.max_nbytes or checksum(frames) != header.crc32:
            # Damaged on the way: not settled, so it is sent again.
            return self._strike(state.peer, "corrupt") or [Reply(state.peer, m.Unknown())]
        reason = fault(self.schema, header, frames)
        if reason:
            self.rejected[reason] += 1
            state.rejects += 1
        else:
            self.sink.insert(header, list(frames), actor=state.actor, incarnation=state.incarnation, seq=header.seq)
            self.stored += 1
            self.lags[max(0, self._parameter_version() - header.parameter_version)] += 1
        state.settled = header.seq
        return []

    # -- Credit and other messages out -----------------------------------------------------------------------------

    def _credit_for(self, state: ActorState) -> int:
        if self._draining or state.role != "train":
            return 0
        others = sum(actor.outstanding for actor in self.actors.values() if actor is not state)
        return max(0, min(self.credit, self.throttle.headroom() - others))

    def _top_up(self, state: ActorState) -> int:
        """Raises what the actor may send as far as the throttle allows; returns how many more that are."""
        if not self.lockstep:
            state.allowed_upto = max(state.allowed_upto, state.settled + self._credit_for(state))
        return max(0, state.allowed_upto - state.settled)

    def _ack(self, state: ActorState) -> Reply:
        credit = self._top_up(state)
        return Reply(
            state.peer,
            m.Ack(state.incarnation, state.settled, credit, state.rejects, self._parameter_version(), self._epsilon()),
        )

    def acknowledge(self, peers: set[bytes]) -> list[Reply]:
        """One cumulative acknowledgement for each of these peers: called after a batch of messages."""
        return [self._ack(self._by_peer[peer]) for peer in peers if peer in self._by_peer]

    def regrant(self) -> list[Reply]:
        """Credit for actors that have none left, if the throttle has opened; first for who has waited longest."""
        if self.lockstep or self._draining or self.throttle.headroom() <= 0:
            return []
        replies = []
        for state in [a for a in self.present() if a.outstanding == 0]:
            if self._credit_for(state) == 0:
                break
            replies.append(self._ack(state))
            self._by_peer[state.peer] = self._by_peer.pop(state.peer)  # to the end of the queue
        return replies

    def grant(self, episodes: int) -> list[Reply]:
        """Lockstep: lets the one actor play a round with the newest parameters, as soon as it is there."""
        states = [a for a in self._by_peer.values() if a.role == "train" and not a.left]
        if not states:
            self._round = episodes
        for state in states:
            state.allowed_upto = state.settled + episodes
        return [self._ack(state) for state in states]

    # -- Tests and the end -----------------------------------------------------------------------------------------

    def request_test(self, test: m.Test) -> list[Reply]:
        """Asks the evaluator, now if it is there, else when it comes."""
        self._test = test
        return [reply for state in self._by_peer.values() for reply in self._outstanding(state)]

    def _take_test_result(self, result: m.TestResult) -> None:
        """Once; one that nobody waits for any more is a repeat."""
        if self._test is None or result.test_id != self._test.test_id:
            return
        counts = {len(result.returns), len(result.wons), len(result.lengths)}
        if counts != {self._test.episodes} or not all(map(math.isfinite, result.returns)):
            self.refused["test result"] += 1
            return
        self._test = None
        self._on_test_result(result)

    def _outstanding(self, state: ActorState) -> list[Reply]:
        """What a peer may have missed: that the run drains, or the test that nobody has answered."""
        if state.left:
            return []
        if self._draining:
            return [Reply(state.peer, m.Drain())]
        return [Reply(state.peer, self._test)] if self._test is not None and state.role == "test" else []

    def drain(self) -> list[Reply]:
        """No more credit for anybody; each actor flushes and leaves."""
        self._draining = True
        return [reply for state in self._by_peer.values() for reply in self._outstanding(state)]

    def expire(self, now: float, silence_s: float) -> None:
        """Takes actors that were silent for so long as gone, until they are heard again; their credit is free."""
        for state in self._by_peer.values():
            if now - state.heard_at > silence_s:
                state.connected = False

    # -- Counts ----------------------------------------------------------------------------------------------------

    def present(self, role: m.Role = "train") -> list[ActorState]:
        """The actors that are connected and have not left. Like `counters`, for any thread."""
        return [a for a in list(self._by_peer.values()) if a.role == role and a.connected and not a.left]

    def counters(self) -> dict[str, int]:
        """Of this process: sent == stored + rejected + duplicated + lost.

        `sent` and `lost` come from what the actors report, `stored` from the sink's side. An actor that was killed
        leaves episodes that it had sent and nobody acknowledged: they are `undelivered`, and part of none of these.
        """
        sent = lost = undelivered = 0
        states = list(self.actors.values())
        for state in states:
            claimed = max(state.acked_upto, state.sent if state.left else 0)
            missing = max(0, claimed - state.settled)
            lost += missing
            sent += state.settled + missing - state.settled_before
            undelivered += max(0, state.sent - state.settled - missing)
        return {
            "sent": sent + self.duplicated,
            "stored": self.stored,
            "rejected": sum(self.rejected.values()),
            "duplicated": self.duplicated,
            "lost": lost,
            "undelivered": undelivered,
            "aborted": sum(state.aborted for state in states),
        }
