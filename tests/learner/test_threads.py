"""How many threads the update takes of the cores that there are."""

from __future__ import annotations

import os

import pytest

from powqmix import config, envs
from powqmix.learner.threads import threads_for

SPEC = envs.spec("skirmish/3m")


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("busy", "threads"), [(0, 8), (0.3, 8), (2, 6), (7.4, 1), (64, 1)])
def test_cores_that_actors_leave_are_the_learners(busy: float, threads: int) -> None:
    assert threads_for(config.resolve("skirmish/3m"), SPEC, busy) == threads


@pytest.mark.usefixtures("eight_cores")
def test_small_batches_are_not_split_and_a_configured_number_stands() -> None:
    small = config.resolve("skirmish/3m", assignments=("training.batch_size=4",))
    assert threads_for(small, SPEC, 0) == 1
    assert threads_for(config.resolve("skirmish/3m", assignments=("threads=3",)), SPEC, 5) == 3
