"""The ratio of sampled to inserted episodes, under any order of events."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powqmix.learner.limiter import SamplesPerInsertLimiter

ratios = st.sampled_from([0.1, 0.3, 0.7, 1.0, 1.5, 4.0, 16.0, 50.0])


def test_nothing_is_sampled_before_the_first_episodes_are_there() -> None:
    limiter = SamplesPerInsertLimiter(16.0, batch_size=128, min_episodes=200, slack_episodes=8)
    for _ in range(199):
        assert not limiter.can_sample()
        assert limiter.may_insert()
        limiter.on_insert()
    limiter.on_insert()
    assert limiter.can_sample()


def test_the_paper_s_ratio_is_one_batch_of_128_for_8_new_episodes() -> None:
    limiter = SamplesPerInsertLimiter(16.0, batch_size=128, min_episodes=128, slack_episodes=0)
    limiter.on_insert(128)
    for _ in range(20):
        assert limiter.can_sample()
        assert not limiter.may_insert()
        limiter.on_sample()
        assert not limiter.can_sample()
        for left in range(8, 0, -1):
            assert limiter.headroom() == left
            limiter.on_insert()
    assert limiter.sampled == 20 * 128


def test_actors_run_ahead_by_the_slack_and_no_further() -> None:
    limiter = SamplesPerInsertLimiter(4.0, batch_size=32, min_episodes=32, slack_episodes=5)
    inserted = 0
    while limiter.may_insert():
        limiter.on_insert()
        inserted += 1
    assert inserted == 32 + 5


@given(
    ratio=ratios,
    batch=st.integers(1, 40),
    more=st.integers(0, 40),
    slack=st.integers(0, 20),
    events=st.lists(st.booleans(), max_size=300),
)
def test_the_invariants_hold_under_any_interleaving(
    ratio: float, batch: int, more: int, slack: int, events: list[bool]
) -> None:
    first, exact = batch + more, Fraction(str(ratio))
    limiter = SamplesPerInsertLimiter(ratio, batch, first, slack)
    for learner_turn in events:
        assert limiter.can_sample() or limiter.may_insert()
        assert limiter.may_insert() == (limiter.headroom() > 0)
        if learner_turn and limiter.can_sample():
            limiter.on_sample()
        elif not learner_turn and limiter.may_insert():
            room = limiter.headroom()
            limiter.on_insert()
            assert limiter.headroom() == room - 1
        earned = batch + exact * max(0, limiter.inserted - first)
        if limiter.inserted >= first:
            assert limiter.sampled <= earned
            assert earned - limiter.sampled < batch + exact * (slack + 1)
        else:
            assert limiter.sampled == 0


@given(
    ratio=ratios,
    batch=st.integers(1, 40),
    slack=st.integers(0, 20),
    checkpointed=st.tuples(st.integers(0, 300), st.integers(0, 50)),
    later=st.integers(0, 200),
    stored=st.integers(0, 500),
    events=st.lists(st.booleans(), max_size=100),
)
def test_neither_a_resume_nor_a_lost_ring_holds_up_both_sides(
    ratio: float, batch: int, slack: int, checkpointed: tuple[int, int], later: int, stored: int, events: list[bool]
) -> None:
    inserted, batches = checkpointed
    before = SamplesPerInsertLimiter(ratio, batch, batch, slack)
    before.on_insert(inserted)
    for _ in range(batches):
        if before.can_sample():
            before.on_sample()
    limiter = SamplesPerInsertLimiter(ratio, batch, batch, slack)
    stored = min(stored, inserted + later)
    limiter.load_state_dict(before.state_dict(), inserted=inserted + later, stored=stored)
    for learner_turn in events:
        assert limiter.can_sample() or limiter.may_insert()
        if limiter.can_sample():
            assert stored >= batch  # a batch can be drawn without replacement
        if learner_turn and limiter.can_sample():
            limiter.on_sample()
        elif not learner_turn and limiter.may_insert():
            limiter.on_insert()
            stored += 1


def test_after_an_older_checkpoint_the_learner_catches_up_before_actors_go_on() -> None:
    limiter = SamplesPerInsertLimiter(4.0, batch_size=32, min_episodes=32, slack_episodes=8)
    limiter.on_insert(32)
    limiter.on_sample()
    state = limiter.state_dict()
    resumed = SamplesPerInsertLimiter(4.0, batch_size=32, min_episodes=32, slack_episodes=8)
    # 80 more episodes were stored, and 10 batches drawn of which nothing is left.
    resumed.load_state_dict(state, inserted=112, stored=112)
    updates = 0
    while not resumed.may_insert():
        resumed.on_sample()
        updates += 1
    while resumed.can_sample():
        resumed.on_sample()
        updates += 1
    assert updates == 10


def test_a_lost_ring_is_filled_before_sampling_and_what_fills_it_earns_nothing() -> None:
    limiter = SamplesPerInsertLimiter(4.0, batch_size=32, min_episodes=32, slack_episodes=8)
    limiter.on_insert(1000)
    while limiter.can_sample():
        limiter.on_sample()
    resumed = SamplesPerInsertLimiter(4.0, batch_size=32, min_episodes=32, slack_episodes=8)
    resumed.load_state_dict(limiter.state_dict(), inserted=0, stored=0)
    for _ in range(32):
        assert not resumed.can_sample()
        assert resumed.may_insert()
        resumed.on_insert()
    assert not resumed.can_sample()
    resumed.on_insert(8)
    assert resumed.can_sample()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.0, 32, 32, 0), "samples_per_insert must be above 0, got 0"),
        ((1.0, 0, 32, 0), "batch_size must be at least 1, got 0"),
        ((1.0, 32, 31, 0), r"min_episodes must be at least batch_size \(32\)"),
        ((1.0, 32, 32, -1), "slack_episodes must be at least 0, got -1"),
    ],
)
def test_values_that_could_hold_up_both_sides_are_refused(arguments: tuple[float, int, int, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SamplesPerInsertLimiter(*arguments)


def test_with_one_sample_an_insert_and_no_slack_a_ring_of_a_batch_holds_just_what_was_not_learned_from() -> None:
    limiter = SamplesPerInsertLimiter(1.0, batch_size=8, min_episodes=8, slack_episodes=0)
    random, waiting = np.random.default_rng(0), 0
    for _ in range(2000):
        assert limiter.headroom() == 8 - waiting
        if limiter.may_insert() and random.random() < 0.8:
            limiter.on_insert()
            waiting += 1
        elif limiter.can_sample():
            assert waiting == 8
            limiter.on_sample()
            waiting = 0
    assert limiter.inserted - limiter.sampled == waiting
    assert limiter.sampled > 100
