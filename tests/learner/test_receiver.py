"""The receiver and the actors' links over real sockets: what arrives, and who is refused."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import zmq

from powqmix.actors.link import Refused
from powqmix.learner.replay import ReplayRing
from powqmix.types import EnvSpec, Episode, episode_schema
from powqmix.wire import messages as m
from powqmix.wire.sockets import EndpointRefused

from ..wire.episodes import SPEC, episode
from .receiver_bench import LARGE, Bench, poll, send


def test_episodes_of_several_actors_arrive_whole(bench: Bench) -> None:
    receiver = bench.receiver()
    links = [bench.link(actor) for actor in range(3)]
    for actor, link in enumerate(links):
        send(link, actor, 100)
    poll(lambda: all(link.window.acked_upto == 100 for link in links), *links)
    assert bench.payloads() == bench.sent(3, 100)
    records = bench.ring.records(bench.ring.stored())
    for record in records:
        sent = episode(int(record["seq"]), int(record["actor"]))
        assert record["incarnation"] == links[record["actor"]].incarnation
        assert (record["steps"], record["episode_return"]) == (sent.steps, sent.episode_return)
    counters = receiver.counters()
    assert (counters["sent"], counters["stored"], counters["lost"], counters["duplicated"]) == (300, 300, 0, 0)
    assert (counters["actors_connected"], counters["refused_messages"]) == (3, {})
    receiver.check()


def test_large_episodes_arrive_whole(bench: Bench, tmp_path: Path) -> None:
    """Of frames that are sent without being copied."""
    bench.ring.close()
    bench.ring = ReplayRing.create(tmp_path / "large", LARGE, 8)
    bench.receiver()
    link = bench.link(schema=LARGE)
    send(link, 0, 8)
    poll(lambda: link.window.acked_upto == 8, link)
    assert bench.payloads() == bench.sent(1, 8)
    assert max(map(len, bench.payloads().values())) > 200_000


def test_acknowledgements_bring_version_and_epsilon(bench: Bench) -> None:
    bench.receiver()
    link = bench.link()
    poll(lambda: link.welcomed, link)
    assert (link.epsilon, link.parameter_version) == (0.25, 5)
    bench.version = 6
    send(link, 0, 1)
    poll(lambda: link.parameter_version == 6, link)


def test_an_actor_may_come_before_the_learner(bench: Bench) -> None:
    link = bench.link()
    send(link, 0, 3)
    for _ in range(3):
        link.pump(1)
    bench.receiver()
    poll(lambda: link.window.acked_upto == 3, link)
    assert bench.payloads() == bench.sent(1, 3)


@pytest.mark.parametrize("damage", ["too long", "too short", "too many steps"])
def test_an_episode_that_does_not_fit_the_schema_is_refused_before_it_is_sent(bench: Bench, damage: str) -> None:
    link = bench.link()
    sound = episode(1, steps=SPEC.episode_limit)
    frames, steps = list(sound.frames), sound.steps
    if damage == "too many steps":
        large = episode(1, schema=episode_schema(EnvSpec(SPEC.id, 2, 11, 3, 4, 7)), steps=7)
        frames, steps = large.frames, 7
    else:
        frames[0] = frames[0].repeat(1000, axis=0) if damage == "too long" else frames[0][:-1]
    with pytest.raises(ValueError, match=r"at most 6\) must have frames of"):
        link.send(Episode(**{**vars(sound), "frames": frames, "steps": steps}))
    assert link.window.offered == 0


def test_credit_comes_when_the_limiter_opens(bench: Bench) -> None:
    bench.throttle.room = 0
    receiver = bench.receiver()
    link = bench.link()
    send(link, 0, 4)
    poll(lambda: link.welcomed, link)
    poll(lambda: link.stalled_s > 0.1, link)  # longer than the receiver waits between two looks at the limiter
    assert (link.blocked, link.window.sent, bench.ring.total_inserted) == (True, 0, 0)
    bench.throttle.room = 4
    receiver.wake()
    poll(lambda: link.window.acked_upto == 4, link)


@pytest.mark.parametrize("what", ["schema", "run"])
def test_an_actor_of_another_schema_or_run_is_refused_and_told_both(bench: Bench, what: str) -> None:
    bench.receiver()
    other = episode_schema(EnvSpec(SPEC.id, 3, 11, 3, 4, 6))
    link = bench.link(schema=other) if what == "schema" else bench.link(run_id="another")
    with pytest.raises(Refused) as refused:
        poll(lambda: link.welcomed, link)
    assert refused.value.code == what
    for word in ("2 agents", "3 agents") if what == "schema" else ("'run'", "'another'"):
        assert word in refused.value.text


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:5555", "file:///tmp/x", "ipc://" + "x" * 101, "nonsense"])
def test_endpoints_that_are_not_of_this_host_are_refused(bench: Bench, endpoint: str) -> None:
    bench.endpoint = endpoint
    with pytest.raises(EndpointRefused):
        bench.receiver()
    with pytest.raises(EndpointRefused):
        bench.link()


def test_noise_on_the_socket_is_counted_and_stops_nobody(bench: Bench) -> None:
    receiver = bench.receiver()
    link = bench.link()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.connect(bench.endpoint)
    for size in (0, 1, 100, 10_000):
        stranger.send_multipart([secrets.token_bytes(size)] * 3)
    send(link, 0, 10)
    poll(lambda: link.window.acked_upto == 10 and receiver.counters()["refused_messages"].get("closed peer"), link)
    assert receiver.counters()["refused_messages"] == {"unreadable": 3, "closed peer": 1}
    assert m.decode_from_learner(stranger.recv()).code == "unreadable"  # type: ignore[union-attr]
    stranger.close(linger=0)
    context.term()
    receiver.check()
