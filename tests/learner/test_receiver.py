"""The receiver and the actors' links over real sockets: what arrives, who is refused, and what a restart costs."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from powqmix.actors.link import Link, Refused
from powqmix.learner.receiver import Receiver, ReceiverFailed, percentiles
from powqmix.learner.replay import ReplayRing
from powqmix.types import EnvSpec, Episode, EpisodeSchema, episode_schema
from powqmix.wire import messages as m
from powqmix.wire.parameters import ParameterWriter
from powqmix.wire.sockets import EndpointInUse, EndpointRefused

from ..wire.episodes import SCHEMA, SPEC, as_bytes, episode
from ..wire.world import Throttle

COUNT = 10  # parameters
DEADLINE_S = 20.0
LARGE = episode_schema(EnvSpec(SPEC.id, n_agents=10, n_actions=11, obs_size=100, state_size=200, episode_limit=120))


def poll(condition: Callable[[], Any], *links: Link) -> None:
    """Lets the links work until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        for link in links:
            link.pump(2)


def send(link: Link, actor: int, count: int) -> None:
    for _ in range(count):
        link.send(episode(link.window.offered + 1, actor, link.schema))


class Bench:
    """A learner's side with a ring, and links to it; everything is closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/wire"
        self.parameters_path = ""
        self.throttle = Throttle(10**6)
        self.ring = ReplayRing.create(folder / "ring", SCHEMA, 5000)
        self.version = 5
        self.tests: list[tuple[int, list[float], list[bool], list[int]]] = []
        self.links: list[Link] = []
        self.receivers: list[Receiver] = []

    def receiver(self, sink: Any = None, lockstep: bool = False) -> Receiver:
        receiver = Receiver(
            self.endpoint,
            run_id="run",
            env_id=SPEC.id,
            schema=self.ring.schema,
            sink=sink or self.ring,
            limiter=self.throttle,
            parameter_version=lambda: self.version,
            epsilon=lambda: 0.25,
            parameters=lambda: (self.version, np.full(COUNT, self.version, np.float32).tobytes()),
            parameters_path=self.parameters_path,
            credit=4,
            lockstep=lockstep,
            on_test_result=lambda *result: self.tests.append(result),
        )
        self.receivers.append(receiver)
        receiver.start()
        return receiver

    def link(self, actor: int = 0, role: m.Role = "train", schema: EpisodeSchema = SCHEMA, run_id: str = "run") -> Link:
        link = Link(
            self.endpoint, run_id=run_id, env_id=SPEC.id, schema=schema, parameter_count=COUNT, actor=actor, role=role
        )
        self.links.append(link)
        return link

    def payloads(self) -> dict[tuple[int, int], bytes]:
        """What the ring holds, by actor and sequence number."""
        slots = self.ring.stored()
        records = self.ring.records(slots)
        keys = zip(records["actor"].tolist(), records["seq"].tolist())
        return {key: bytes(self.ring.payload(slot)) for key, slot in zip(keys, slots.tolist())}

    def sent(self, actors: int, episodes: int) -> dict[tuple[int, int], bytes]:
        """What the ring should hold."""
        keys = [(actor, seq) for actor in range(actors) for seq in range(1, episodes + 1)]
        return {(a, s): b"".join(as_bytes(episode(s, a, self.ring.schema))) for a, s in keys}

    def close(self) -> None:
        for link in self.links:
            link.close()
        for receiver in self.receivers:
            receiver.stop()
        self.ring.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with contextlib.closing(Bench(tmp_path)) as made:
        yield made


# -- Episodes ----------------------------------------------------------------------------------------------------------


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


# -- Who is refused ----------------------------------------------------------------------------------------------------


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


def test_a_second_receiver_on_an_endpoint_is_told_whose_it_is(bench: Bench) -> None:
    bench.receiver()
    with pytest.raises(EndpointInUse, match=rf"in use by process {os.getpid()}; "):
        bench.receiver()
    program = (
        "import sys; from powqmix.wire.sockets import lock_endpoint, EndpointInUse\n"
        "try: lock_endpoint(sys.argv[1])\n"
        "except EndpointInUse as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", program, bench.endpoint], capture_output=True, text=True, check=True)
    assert f"process {os.getpid()};" in found.stdout
    link = bench.link()  # the first goes on
    poll(lambda: link.welcomed, link)


def test_an_endpoint_is_free_again_after_stop_and_after_a_failed_bind(bench: Bench) -> None:
    bench.receiver().stop()
    bench.receiver().stop()
    bench.endpoint = bench.endpoint.replace("/wire", "/missing/wire")
    for _ in range(2):
        with pytest.raises(OSError):  # and not that it is in use
            bench.receiver()


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


# -- Restarts ----------------------------------------------------------------------------------------------------------


def test_a_learner_stopped_and_started_anew_loses_nothing_and_stores_nothing_twice(bench: Bench) -> None:
    links = [bench.link(actor) for actor in range(2)]
    stored = 0
    for life in range(1, 5):
        receiver = bench.receiver()
        for actor, link in enumerate(links):
            send(link, actor, 50)
        # Stopped in the midst of it, but for the last time.
        wanted = 100 * life if life == 4 else 100 * life - 60
        poll(lambda wanted=wanted: bench.ring.total_inserted >= wanted, *links)  # type: ignore[misc]
        receiver.stop()
        counters = receiver.counters()
        stored += counters["stored"]
        assert counters["lost"] == 0
        assert counters["sent"] == counters["stored"] + counters["duplicated"]
    assert bench.ring.total_inserted == stored == 400
    assert bench.payloads() == bench.sent(2, 200)


def test_an_actor_started_anew_counts_from_one_in_its_own_name(bench: Bench) -> None:
    receiver = bench.receiver()
    for life in (1, 2, 3):
        link = bench.link()
        send(link, 0, 5)
        poll(lambda link=link: link.window.acked_upto == 5, link)  # type: ignore[misc]
        assert receiver.counters()["actors_connected"] == 1
        assert bench.ring.total_inserted == 5 * life
        link.close()
        bench.links.remove(link)
    assert receiver.counters()["duplicated"] == 0


def test_a_sink_that_fails_ends_the_receiver_and_is_reported(bench: Bench) -> None:
    class Full:
        def insert(self, *_: Any, **__: Any) -> None:
            raise OSError("no room is left")

        def last_seq(self, actor: int, incarnation: int) -> int:
            return 0

    receiver = bench.receiver(sink=Full())
    link = bench.link()
    send(link, 0, 1)
    poll(lambda: receiver._error is not None, link)
    with pytest.raises(ReceiverFailed, match="no room is left"):
        receiver.check()
    assert link.window.acked_upto == 0


# -- The end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads_in_time", [True, False])
def test_a_drain_ends_in_bye_though_the_receiver_stops(bench: Bench, reads_in_time: bool) -> None:
    for _ in range(5):
        receiver = bench.receiver()
        link = bench.link()
        send(link, 0, 20)
        poll(lambda link=link: link.window.acked_upto >= 3, link)  # type: ignore[misc]
        receiver.drain()
        poll(lambda link=link: link.draining and link.window.acked_upto == link.window.sent, link)  # type: ignore[misc]
        link.leave()
        link.pump(2)
        readers = (link,) if reads_in_time else ()
        poll(lambda receiver=receiver: receiver.counters()["actors_connected"] == 0, *readers)  # type: ignore[misc]
        receiver.stop()
        poll(lambda link=link: link.left, link)  # type: ignore[misc]
        counters = receiver.counters()
        assert (counters["lost"], counters["undelivered"], counters["stored"]) == (0, 0, link.window.sent)


def test_stop_may_be_called_again_and_before_start(bench: Bench) -> None:
    receiver = bench.receiver()
    receiver.stop()
    descriptors = os.listdir("/proc/self/fd")
    receiver.stop()
    assert os.listdir("/proc/self/fd") == descriptors


# -- Parameters and tests ----------------------------------------------------------------------------------------------


def test_a_link_reads_parameters_from_shared_memory(bench: Bench, tmp_path: Path) -> None:
    writer = ParameterWriter(tmp_path / "parameters", COUNT)
    bench.parameters_path = str(tmp_path / "parameters")
    bench.receiver()
    link = bench.link()
    poll(lambda: link.welcomed, link)
    assert (link.newest_version, link.parameters()) == (-1, None)
    writer.write(np.arange(COUNT, dtype=np.float32), 6)
    assert link.newest_version == 6
    found = link.parameters()
    assert found is not None
    assert (found[0].tolist(), found[1]) == (list(range(COUNT)), 6)


def test_a_link_without_shared_memory_fetches_parameters(bench: Bench) -> None:
    bench.parameters_path = "/nowhere/parameters"
    bench.receiver()
    link = bench.link()
    for version in (5, 6):
        bench.version = version
        send(link, 0, 1)
        poll(lambda version=version: link.newest_version == version, link)  # type: ignore[misc]
        found = link.parameters()
        assert found is not None
        assert found[0].tolist() == [float(version)] * COUNT


def test_a_test_is_asked_for_answered_and_taken_once(bench: Bench) -> None:
    receiver = bench.receiver()
    evaluator, actor = bench.link(role="test"), bench.link()
    for test_id in (1, 2):
        receiver.request_test(test_id, 3, parameter_version=5)  # the first before the evaluator is there
        poll(lambda: evaluator.test is not None, evaluator, actor)
        assert evaluator.test == m.Test(test_id, 3, 5)
        assert actor.test is None
        evaluator.answer_test(evaluator.test, 5, [1.0, 2.0, 3.0], [True, False, True], [4, 5, 6])
        poll(lambda test_id=test_id: len(bench.tests) == test_id, evaluator, actor)  # type: ignore[misc]
    assert bench.tests == [(test_id, [1.0, 2.0, 3.0], [True, False, True], [4, 5, 6]) for test_id in (1, 2)]
    poll(lambda: evaluator._result is None, evaluator)
    assert (receiver.counters()["actors_connected"], receiver.counters()["peers_connected"]) == (1, 2)


def test_a_new_evaluator_gets_the_test_that_the_last_one_did_not_answer(bench: Bench) -> None:
    receiver = bench.receiver()
    first = bench.link(role="test")
    receiver.request_test(1, 1, parameter_version=5)
    poll(lambda: first.test is not None, first)
    second = bench.link(role="test")
    poll(lambda: second.test is not None, second)


def test_lockstep_plays_the_rounds_that_are_granted(bench: Bench) -> None:
    receiver = bench.receiver(lockstep=True)
    receiver.grant(8)  # the actor comes later
    link = bench.link()
    for played in (8, 16):
        poll(lambda: link.credit == 8, link)
        assert link.lockstep
        send(link, 0, 8)
        poll(lambda played=played: link.window.acked_upto == played, link)  # type: ignore[misc]
        assert (link.credit, bench.ring.total_inserted) == (0, played)
        receiver.grant(8)


@pytest.mark.parametrize(
    ("counts", "median", "p99"), [({3: 1}, 3, 3), ({0: 50, 1: 50}, 0, 1), ({0: 98, 7: 2}, 0, 7), ({0: 99, 7: 1}, 0, 0)]
)
def test_percentiles_of_a_histogram(counts: dict[int, int], median: int, p99: int) -> None:
    assert percentiles(counts) == {"parameter_lag_median": median, "parameter_lag_p99": p99}
    assert percentiles({}) == {}
