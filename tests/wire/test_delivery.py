"""Delivery: whatever links and processes do, no acknowledged episode is missing and none is stored twice."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest

from powqmix.actors.link import Refused
from powqmix.wire.sender import SendWindow

from .episodes import episode
from .world import World

# Most of what happens is harmless, so that a run gets far.
EVENT_WEIGHTS = [20, 30, 40, 40, 8, 4, 2, 3, 6, 2, 1, 1]
LEARNER_RESTARTS = 10


def trouble(world: World, rng: random.Random, weights: list[int]) -> None:
    """One event."""
    actor = rng.randrange(len(world.links))
    peer = rng.choice(list(world.channels)[-4:])
    channel = world.channels[peer]
    kind = rng.choices(range(len(weights)), weights)[0]
    if kind == 0:
        world.play(actor, rng.randrange(4))
    elif kind == 1:
        world.pump(actor)
    elif kind == 2:
        world.deliver_up(peer, rng.randrange(6))
    elif kind == 3:
        world.deliver_down(peer, rng.randrange(6))
    elif kind == 4:
        world.now += rng.choice([0.1, 0.3, 1.5, 6.0, 12.0])
        world.sessions.expire(world.now, 5.0)
    elif kind == 5:
        world.throttle.room = rng.choice([0, 1, 5, 20])
        world.answer(world.sessions.regrant())
    elif kind == 6:
        world.play(actor, nan=True)
    elif kind == 7:
        channel.cut(rng.randrange(6), rng.randrange(6))
    elif kind == 8 and channel.up:
        channel.up.append(rng.choice(channel.up))  # comes twice
    elif kind == 9 and channel.up and len(channel.up[0]) > 1 and world.sessions.refused["corrupt"] < 2:
        channel.up[0] = [*channel.up[0][:-1], b"\x7f" + channel.up[0][-1]]  # three would close the peer
    elif kind == LEARNER_RESTARTS:
        world.start_learner()
    elif kind == 11:
        world.restart_actor(actor)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_and_nothing_is_stored_twice_in_any_trouble(seed: int) -> None:
    rng, world = random.Random(seed), World(actors=2, room=20)
    weights = list(EVENT_WEIGHTS)
    weights[LEARNER_RESTARTS] *= seed % 2
    for _ in range(1000):
        trouble(world, rng, weights)
        world.check()
    # Then peace: everything that a living actor was given gets settled, and every sound episode of it is stored.
    world.throttle.room = 10**6
    world.settle()
    world.check()
    for link in world.links:
        assert link.window.unsettled == 0
        assert link.window.acked_upto == link.window.offered
    assert len(world.sink) > 20


# -- One thing at a time -----------------------------------------------------------------------------------------------


def connected(**options: Any) -> World:
    """One actor that was welcomed."""
    world = World(actors=1, **options)
    exchange(world)
    exchange(world)
    assert not world.channel(0).up
    return world


def exchange(world: World) -> None:
    """Everything on its way arrives and is answered, twice over; no time passes."""
    for _ in range(2):
        world.pump(0)
        world.deliver_up(world.peer(world.links[0]))
        world.deliver_down(world.peer(world.links[0]))
    world.pump(0)


def test_an_acknowledgement_stands_for_all_before_it() -> None:
    world = connected()
    world.play(0, 4)
    world.pump(0)
    world.deliver_up(world.peer(world.links[0]))
    assert len(world.channel(0).down) == 1
    world.channel(0).cut(0, 1)
    exchange(world)
    assert (world.links[0].window.acked_upto, len(world.sink)) == (4, 4)


def test_a_repeated_episode_is_acknowledged_again_and_not_stored() -> None:
    world = connected()
    world.play(0)
    world.pump(0)
    world.channel(0).up.append(world.channel(0).up[-1])
    world.deliver_up(world.peer(world.links[0]), 1)
    world.channel(0).cut(1, 0)  # the first acknowledgement is lost
    exchange(world)
    assert world.links[0].window.acked_upto == 1
    counters = world.sessions.counters()
    assert (counters["sent"], counters["stored"], counters["duplicated"]) == (2, 1, 1)


def test_a_gap_is_not_stored_and_is_filled_at_once() -> None:
    world = connected()
    world.play(0, 3)
    world.pump(0)
    world.channel(0).up.popleft()  # lost in a cut that both ends overlooked
    world.deliver_up(world.peer(world.links[0]))
    assert (len(world.sink), world.sessions.refused["out of order"]) == (0, 2)
    for _ in range(3):
        exchange(world)
    assert sorted(world.sink.journal[world.links[0].incarnation]) == [1, 2, 3]
    assert world.sessions.counters()["duplicated"] == 0


def test_a_damaged_episode_is_sent_again_at_once() -> None:
    world = connected()
    world.play(0)
    world.pump(0)
    world.channel(0).up[0][-1] = b"\x7f"
    for _ in range(3):
        exchange(world)
    assert (len(world.sink), world.sessions.refused["corrupt"]) == (1, 1)
    world.check()


def test_an_episode_that_nobody_answers_is_sent_again_after_a_while() -> None:
    window = SendWindow(retransmit_s=10.0)
    window.on_welcome(0, 4, 0.0)
    window.offer(episode(1))
    window.offer(episode(2))
    assert [seq for seq, _ in window.take(0.0)] == [1, 2]
    assert [seq for seq, _ in window.take(9.0)] == []
    assert [seq for seq, _ in window.take(11.0)] == [1, 2]
    window.on_ack(1, 3, 12.0)
    assert [seq for seq, _ in window.take(21.0)] == []
    assert [seq for seq, _ in window.take(23.0)] == [2]


def test_acknowledgements_that_cannot_be_meant_change_nothing() -> None:
    window = SendWindow()
    window.on_welcome(0, 2, 0.0)
    for _ in range(4):
        window.offer(episode(1))
    assert [seq for seq, _ in window.take(0.0)] == [1, 2]
    window.on_ack(2, 1, 0.0)
    window.on_ack(1, 100, 0.0)  # older: its credit is no longer true
    window.on_ack(5, 100, 0.0)  # of an episode that there is not
    assert (window.acked_upto, window.allowed_upto, window.unsettled) == (2, 3, 2)


def test_without_credit_nothing_is_sent_and_the_actor_knows() -> None:
    world = connected(room=0)
    world.play(0)
    exchange(world)
    assert world.links[0].blocked
    assert world.sessions.counters()["sent"] == 0
    world.throttle.room = 1
    world.answer(world.sessions.regrant())
    exchange(world)
    assert not world.links[0].blocked
    assert len(world.sink) == 1


@pytest.mark.parametrize("room", [0, 1, 3, 7, 8, 100])
def test_all_actors_together_get_no_more_credit_than_the_throttle_has_room(room: int) -> None:
    world = World(actors=5, room=room, credit=4)
    world.settle(3.0)
    allowed = sum(link.window.allowed_upto for link in world.links)
    assert allowed == min(room, 20)
    for actor in range(5):
        world.play(actor, 10)
    world.settle(3.0)  # the throttle does not count what comes in: its room stays what it was
    assert all(link.window.allowed_upto <= link.window.acked_upto + 4 for link in world.links)


def test_credit_that_is_short_goes_round() -> None:
    world = World(actors=6, room=0, credit=2)
    for actor in range(6):
        world.play(actor, 50)
    for _ in range(30):
        world.throttle.room = 4
        world.answer(world.sessions.regrant())
        world.throttle.room = 0
        world.settle(0.25)
        world.settle(0.25)
    delivered = [link.window.acked_upto for link in world.links]
    assert sum(delivered) >= 100
    assert max(delivered) - min(delivered) <= 2


def test_credit_of_an_actor_that_fell_silent_goes_to_others() -> None:
    world = World(actors=2, room=4, credit=4)
    world.settle(1.0)
    silent, other = sorted(world.links, key=lambda link: -link.window.allowed_upto)
    assert (silent.window.allowed_upto, other.window.allowed_upto) == (4, 0)
    world.links = [other]
    world.settle(10.0)
    assert other.window.allowed_upto == 4
    assert [a.incarnation for a in world.sessions.present()] == [other.incarnation]


def test_what_an_earlier_learner_refused_is_settled_and_not_lost() -> None:
    world = connected()
    world.play(0, nan=True)
    exchange(world)
    world.start_learner()
    for _ in range(3):
        world.now += 1.5
        exchange(world)
    (state,) = world.sessions.actors.values()
    assert (state.settled, state.outstanding) == (1, 4)
    assert world.sessions.counters()["lost"] == 0
    world.play(0)
    exchange(world)
    assert sorted(world.sink.journal[world.links[0].incarnation]) == [2]


def test_an_actor_that_leaves_with_episodes_on_their_way_counts_them_as_lost() -> None:
    world = connected()
    world.play(0, 3)
    world.pump(0)
    world.channel(0).cut(1, 0)
    world.links[0].leave()
    exchange(world)
    assert world.links[0].left
    counters = world.sessions.counters()
    assert (counters["sent"], counters["stored"], counters["lost"]) == (3, 1, 2)


def test_a_killed_actor_leaves_undelivered_episodes_and_no_lost_ones() -> None:
    world = connected()
    world.play(0, 3)
    world.pump(0)
    world.now += 2.0
    world.pump(0)  # a PING behind the three
    world.channel(0).up = deque([world.channel(0).up[0], world.channel(0).up[-1]])
    world.deliver_up(world.peer(world.links[0]))
    counters = world.sessions.counters()
    assert (counters["sent"], counters["lost"], counters["undelivered"]) == (1, 0, 2)


# -- Lockstep ----------------------------------------------------------------------------------------------------------


def test_in_lockstep_an_actor_sends_exactly_the_rounds_that_are_granted() -> None:
    world = connected(lockstep=True, credit=8)
    for granted in (8, 16, 24):
        world.play(0, 9)
        exchange(world)
        world.answer(world.sessions.regrant())
        assert len(world.sink) == granted - 8
        world.answer(world.sessions.grant(8))
        exchange(world)
        assert len(world.sink) == granted


def test_a_round_granted_before_the_actor_came_is_kept_for_it() -> None:
    world = World(actors=1, lockstep=True, credit=8)
    assert world.sessions.grant(8) == []
    exchange(world)
    assert world.links[0].credit == 8
    world.play(0, 20)
    exchange(world)
    assert len(world.sink) == 8


def test_a_round_survives_a_reconnect_and_is_not_granted_twice() -> None:
    world = connected(lockstep=True, credit=8)
    world.answer(world.sessions.grant(8))
    exchange(world)
    world.play(0, 20)
    world.pump(0)
    world.channel(0).cut(3, 0)
    world.settle(30.0)
    assert len(world.sink) == 8


def test_a_second_actor_is_refused_in_lockstep() -> None:
    world = connected(lockstep=True)
    world.links.append(world.start_actor(1))
    world.pump(1)
    world.deliver_up(world.peer(world.links[1]))
    world.deliver_down(world.peer(world.links[1]))
    with pytest.raises(Refused, match="one actor"):
        world.pump(1)


# -- The end -----------------------------------------------------------------------------------------------------------


def test_a_drain_stops_new_episodes_and_delivers_those_that_were_sent() -> None:
    world = connected()
    world.play(0, 10)
    world.pump(0)
    world.channel(0).cut(2, 0)  # 2 of 4 get through
    world.answer(world.sessions.drain())
    world.settle(30.0)
    assert world.links[0].draining
    assert (len(world.sink), world.links[0].window.sent) == (4, 4)
    world.links[0].leave()
    exchange(world)
    assert world.links[0].left
    assert world.sessions.present() == []
    assert world.sessions.counters()["lost"] == 0


def test_a_drain_that_did_not_get_through_is_said_again() -> None:
    world = connected()
    world.answer(world.sessions.drain())
    world.channel(0).cut(0, 0)
    world.settle(3.0)
    assert world.links[0].draining


def test_an_actor_that_comes_while_the_run_drains_is_told_so() -> None:
    world = World(actors=1)
    world.sessions.drain()
    world.play(0, 2)
    exchange(world)
    assert world.links[0].draining
    assert len(world.sink) == 0
