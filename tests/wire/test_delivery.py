"""Delivery: whatever links and processes do, no acknowledged episode is missing and none is stored twice."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from powqmix.wire.sender import SendWindow

from .episodes import episode
from .world import World

ACTORS = 2
actors = st.integers(0, ACTORS - 1)
few = st.integers(0, 5)


class Delivery(RuleBasedStateMachine):
    """Every order of events that hypothesis can think of, and then peace: all that was given must get settled."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(ACTORS, room=20)

    @rule(actor=actors, count=few)
    def an_actor_finishes_episodes(self, actor: int, count: int) -> None:
        self.world.play(actor, count)

    @rule(actor=actors)
    def an_episode_has_a_return_that_is_no_number(self, actor: int) -> None:
        self.world.play(actor, nan=True)

    @rule(actor=actors)
    def an_actor_looks_at_its_socket(self, actor: int) -> None:
        self.world.pump(actor)

    @rule(data=st.data(), count=few)
    def messages_reach_the_learner(self, data: st.DataObject, count: int) -> None:
        self.world.deliver_up(self.some_peer(data), count)

    @rule(data=st.data(), count=few)
    def messages_reach_an_actor(self, data: st.DataObject, count: int) -> None:
        self.world.deliver_down(self.some_peer(data), count)

    @rule(actor=actors)
    def all_goes_well_for_a_moment(self, actor: int) -> None:
        for _ in range(3):
            self.world.pump(actor)
            self.world.deliver_up(self.world.peer(self.world.links[actor]))
            self.world.deliver_down(self.world.peer(self.world.links[actor]))

    @rule(data=st.data(), up=few, down=few)
    def a_connection_is_cut(self, data: st.DataObject, up: int, down: int) -> None:
        self.world.channels[self.some_peer(data)].cut(up, down)

    @rule(data=st.data(), place=few)
    def a_message_comes_twice(self, data: st.DataObject, place: int) -> None:
        up = self.world.channels[self.some_peer(data)].up
        if len(up) > place:
            up.append(up[place])

    @rule(data=st.data())
    def the_frames_of_an_episode_are_damaged(self, data: st.DataObject) -> None:
        peer = self.some_peer(data)
        up = self.world.channels[peer].up
        # A peer is closed after three: two leave a run as it was.
        if up and len(up[0]) > 1 and self.world.sessions.refused["corrupt"] < 2:
            up[0] = [*up[0][:-1], b"\x7f" + up[0][-1]]

    @rule(seconds=st.sampled_from([0.1, 1.5, 6.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.sessions.expire(self.world.now, 5.0)

    @rule(room=st.sampled_from([0, 1, 20]))
    def the_throttle_moves(self, room: int) -> None:
        self.world.throttle.room = room
        self.world.answer(self.world.sessions.regrant())

    @rule()
    def the_learner_is_killed_and_starts_anew(self) -> None:
        self.world.start_learner()

    @rule(actor=actors)
    def an_actor_is_killed_and_starts_anew(self, actor: int) -> None:
        self.world.restart_actor(actor)

    @invariant()
    def what_is_promised_holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.throttle.room = 10**6
        self.world.settle()
        self.world.check()
        for link in self.world.links:
            assert link.window.unsettled == 0

    def some_peer(self, data: st.DataObject) -> bytes:
        return data.draw(st.sampled_from(list(self.world.channels)))


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
