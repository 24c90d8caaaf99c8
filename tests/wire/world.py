"""A world without sockets or clocks for delivery: real Links and real Sessions, and links between them that break.

Messages of a connection stay in order and are cut off at its end, as with TCP; what was sent before the cut and not yet
delivered is lost. A message may also be delivered twice, or with a byte changed.
"""

from __future__ import annotations

import math
from collections import deque
from types import SimpleNamespace
from typing import Any
from unittest import mock

import zmq

from powqmix.actors import link as link_module
from powqmix.actors.link import Link
from powqmix.types import Episode
from powqmix.wire import messages as m
from powqmix.wire.sessions import Reply, Sessions

from .episodes import SCHEMA, SPEC, as_bytes, episode

Parts = list[bytes]


class Sink:
    """Takes episodes as the replay ring does, and remembers all of them."""

    def __init__(self) -> None:
        self.journal: dict[int, dict[int, bytes]] = {}  # incarnation -> seq -> the frames' bytes
        self.fresh: list[tuple[int, int]] = []  # not yet looked at by `World.check`

    def insert(self, header: m.EpisodeHeader, frames: list[Any], *, actor: int, incarnation: int, seq: int) -> None:
        assert seq > self.last_seq(actor, incarnation), "stored twice, or out of order"
        self.journal.setdefault(incarnation, {})[seq] = b"".join(bytes(frame) for frame in frames)
        self.fresh.append((incarnation, seq))

    def last_seq(self, actor: int, incarnation: int) -> int:
        return max(self.journal.get(incarnation, {0: b""}))

    def __len__(self) -> int:
        return sum(map(len, self.journal.values()))


class Throttle:
    def __init__(self, room: int) -> None:
        self.room = room

    def headroom(self) -> int:
        return self.room


def make_sessions(sink: Any, throttle: Any, *, lockstep: bool = False, credit: int = 4, epoch: int = 1) -> Sessions:
    return Sessions(
        run_id="run", env_id=SPEC.id, schema=SCHEMA, sink=sink, throttle=throttle, credit=credit, lockstep=lockstep,
        epoch=epoch, parameters_path="", heartbeat_ms=1000, parameter_version=lambda: 5, epsilon=lambda: 0.25,
        parameters=lambda: (5, b"\0" * 12), on_test_result=lambda result: None,
    )  # fmt: skip


class Channel:
    """An actor's socket, and what is on its way in both directions."""

    def __init__(self) -> None:
        self.up: deque[Parts] = deque()
        self.down: deque[Parts] = deque()  # on its way
        self.inbox: deque[Parts] = deque()  # arrived

    def send_multipart(self, parts: list[Any], flags: int, copy: bool) -> None:
        self.up.append([bytes(part) for part in parts])

    def getsockopt(self, option: int) -> int:
        return zmq.POLLOUT | (zmq.POLLIN if self.inbox else 0)

    def poll(self, timeout_ms: int) -> bool:
        return bool(self.inbox)

    def recv_multipart(self, flags: int, copy: bool) -> list[Any]:
        if not self.inbox:
            raise zmq.Again
        return [SimpleNamespace(buffer=memoryview(part)) for part in self.inbox.popleft()]

    def cut(self, up: int, down: int) -> None:
        """The connection ends; so many messages still come through."""
        self.up = deque(list(self.up)[:up])
        self.down = deque(list(self.down)[:down])


class World:
    """Actors 0, 1, ... and a learner; whoever drives it moves every message and the clock."""

    def __init__(self, actors: int = 2, room: int = 10**6, credit: int = 4, lockstep: bool = False) -> None:
        self.now = 1000.0
        self.sink, self.throttle = Sink(), Throttle(room)
        self.credit, self.lockstep, self.learners = credit, lockstep, 0
        self.channels: dict[bytes, Channel] = {}
        self.links: list[Link] = []
        self.given: dict[int, dict[int, Episode]] = {}  # incarnation -> seq -> what was given to the link
        self.settled: dict[int, int] = {}  # incarnation -> the highest that its link knew to be acknowledged
        self.checked: dict[int, int] = {}  # incarnation -> up to where `check` has looked
        self.stored_before = 0
        self.start_learner()
        for actor in range(actors):
            self.links.append(self.start_actor(actor))

    # -- Processes -------------------------------------------------------------------------------------------------

    def start_learner(self) -> None:
        """A new process in place of any before it, with the same sink."""
        self.learners += 1
        self.stored_before = len(self.sink)
        for channel in self.channels.values():
            channel.cut(0, 0)
        self.sessions = make_sessions(
            self.sink, self.throttle, lockstep=self.lockstep, credit=self.credit, epoch=self.learners
        )

    def start_actor(self, actor: int) -> Link:
        channel = Channel()
        with mock.patch.object(link_module, "connect_dealer", return_value=channel):
            link = Link(
                "ipc://none", run_id="run", env_id=SPEC.id, schema=SCHEMA, parameter_count=3, actor=actor, role="train"
            )
        self.channels[self.peer(link)] = channel
        self.given[link.incarnation] = {}
        return link

    def restart_actor(self, actor: int) -> None:
        self.channels[self.peer(self.links[actor])].cut(1, 0)
        self.links[actor] = self.start_actor(actor)

    @staticmethod
    def peer(link: Link) -> bytes:
        return link.incarnation.to_bytes(8, "little")

    def channel(self, actor: int) -> Channel:
        return self.channels[self.peer(self.links[actor])]

    # -- What happens ----------------------------------------------------------------------------------------------

    def play(self, actor: int, count: int = 1, nan: bool = False) -> None:
        link = self.links[actor]
        for _ in range(count):
            seq = link.window.offered + 1
            made = episode(seq, actor)
            if nan:
                made = Episode(**{**vars(made), "episode_return": float("nan")})
            self.given[link.incarnation][seq] = made
            link.send(made)

    def pump(self, actor: int) -> None:
        """The actor looks at its socket."""
        link = self.links[actor]
        with mock.patch.object(link_module, "time", SimpleNamespace(monotonic=lambda: self.now)):
            link.pump(0)
        self.settled[link.incarnation] = link.window.acked_upto

    def deliver_up(self, peer: bytes, count: int = 10**6) -> None:
        """The learner takes a batch of a peer's messages, and answers."""
        channel, acknowledge = self.channels[peer], set()
        for _ in range(min(count, len(channel.up))):
            parts = channel.up.popleft()
            self.check_credit(parts)
            self.answer(self.sessions.handle(peer, [memoryview(part) for part in parts], self.now))
            if len(parts) > 1:
                acknowledge.add(peer)
        self.answer(self.sessions.acknowledge(acknowledge))

    def check_credit(self, parts: Parts) -> None:
        """No actor sends more than it was allowed to."""
        try:
            message = m.decode_from_actor(parts[0])
        except m.DECODE_ERRORS:
            return
        state = self.sessions.actors.get(message.incarnation)
        if isinstance(message, m.EpisodeHeader) and state is not None:
            # An answer of an earlier learner may still be read; its credit reaches no further than this.
            upto = max(state.settled, message.acked_upto) + self.credit
            assert message.seq <= (state.allowed_upto if self.learners == 1 else upto)

    def answer(self, replies: list[Reply]) -> None:
        for reply in replies:
            data = m.encode(reply.message)
            m.decode_from_learner(data)  # whatever it is, an actor can read it
            if reply.peer in self.channels:
                self.channels[reply.peer].down.append([data, *map(bytes, reply.frames)])

    def deliver_down(self, peer: bytes, count: int = 10**6) -> None:
        channel = self.channels[peer]
        for _ in range(min(count, len(channel.down))):
            channel.inbox.append(channel.down.popleft())

    def settle(self, seconds: float = 60.0) -> None:
        """Nothing goes wrong any more for so long."""
        for _ in range(int(4 * seconds)):
            self.now += 0.25
            for actor in range(len(self.links)):
                self.pump(actor)
            for peer in list(self.channels):
                self.deliver_up(peer)
            self.sessions.expire(self.now, 5.0)
            self.answer(self.sessions.regrant())
            for peer in list(self.channels):
                self.deliver_down(peer)

    # -- What must be true -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """At any moment: nothing acknowledged is missing, only what was given is stored, and the counters add up."""
        for incarnation, seq in self.sink.fresh:
            assert self.sink.journal[incarnation][seq] == b"".join(as_bytes(self.given[incarnation][seq]))
        self.sink.fresh.clear()
        for incarnation, upto in self.settled.items():
            for seq in range(self.checked.get(incarnation, 0) + 1, upto + 1):
                sound = not math.isnan(self.given[incarnation][seq].episode_return)
                assert (seq in self.sink.journal.get(incarnation, {})) == sound
            self.checked[incarnation] = upto
        counters = self.sessions.counters()
        assert counters["lost"] == 0
        assert counters["sent"] == sum(counters[k] for k in ("stored", "rejected", "duplicated", "lost"))
        assert counters["stored"] == len(self.sink) - self.stored_before
