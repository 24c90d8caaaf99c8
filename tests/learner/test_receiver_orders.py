"""What the receiver gives to actors: parameters, tests, rounds of lockstep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powqmix.learner.receiver import percentiles
from powqmix.wire import messages as m
from powqmix.wire.parameters import ParameterWriter

from .receiver_bench import COUNT, Bench, poll, send


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
