"""The receiver and the actors' links begin, end and begin anew: what a restart costs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from powqmix.learner.receiver import ReceiverFailed
from powqmix.wire.sockets import EndpointInUse

from .receiver_bench import Bench, poll, send


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
