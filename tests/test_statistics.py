"""Statistics of few runs, against published values and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from powqmix.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    stratified_bootstrap_interval,
    student_t975,
    wilson_interval,
)

FLOATS = st.floats(-1e6, 1e6)


def test_interquartile_mean_drops_a_quarter_on_each_side() -> None:
    assert interquartile_mean([1.0, 100.0, 3.0, 2.0, -50.0]) == 2.0
    assert interquartile_mean([7.0]) == 7.0
    assert interquartile_mean([0.0, 1.0, 2.0]) == 1.0
    np.testing.assert_array_equal(interquartile_mean([[0, 9], [4, 1], [2, 1], [99, 1]]), [3, 1])


@given(arrays.arrays(np.float64, st.integers(1, 20), elements=FLOATS))
def test_interquartile_mean_lies_between_the_extremes_and_ignores_order(values: np.ndarray) -> None:
    mean = interquartile_mean(values)
    assert values.min() - 1e-6 <= mean <= values.max() + 1e-6
    assert interquartile_mean(values[::-1]) == mean


def test_interquartile_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        interquartile_mean([])


@settings(max_examples=20, deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=FLOATS))
def test_bootstrap_interval_stays_within_the_data_and_is_reproducible(runs: np.ndarray) -> None:
    low, high = stratified_bootstrap_interval([runs], resamples=50)
    again = stratified_bootstrap_interval([runs], resamples=50)
    assert (low <= high).all()
    assert (low >= runs.min(axis=0) - 1e-6).all()
    assert (high <= runs.max(axis=0) + 1e-6).all()
    np.testing.assert_array_equal((low, high), again)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        low, high = stratified_bootstrap_interval([rng.normal(size=(20, 1))], resamples=100)
        covered += bool(low[0] <= 0.0 <= high[0])
    assert 85 <= covered <= 99  # percentile intervals of 20 values are a little narrow


def test_runs_are_resampled_within_their_stratum_only() -> None:
    # Each stratum is constant, so no resample differs; drawn from the pool of both they would.
    one, other = np.zeros((4, 3)), np.full((4, 3), 10.0)
    low, high = stratified_bootstrap_interval([one, other], resamples=50)
    np.testing.assert_array_equal(low, high)
    np.testing.assert_array_equal(low, 5.0)


def test_wrong_strata_are_named() -> None:
    with pytest.raises(ValueError, match=r"got the shapes \[\(2, 3\), \(2, 4\)\]"):
        stratified_bootstrap_interval([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match="strata"):
        stratified_bootstrap_interval([])


@pytest.mark.parametrize(
    ("freedom", "table"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (99, 1.98422)]
)
def test_student_quantile_is_that_of_the_tables(freedom: int, table: float) -> None:
    assert student_t975(freedom) == pytest.approx(table, rel=1e-2 if freedom == 3 else 3e-3)


def test_mean_interval_is_that_of_student() -> None:
    mean, low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.77645 * math.sqrt(2.5 / 5)
    assert mean == 3.0
    assert (low, high) == (pytest.approx(3 - half, rel=1e-2), pytest.approx(3 + half, rel=1e-2))
    one = mean_interval([4.0])
    assert one[0] == 4.0
    assert math.isnan(one[1])
    assert math.isnan(one[2])


@pytest.mark.parametrize(
    ("wins", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval_has_the_published_values(wins: int, trials: int, low: float, high: float) -> None:
    # 81 of 263 is the example of Newcombe, Statistics in Medicine 17 (1998), table I.
    assert wilson_interval(wins, trials) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_rate_and_stays_a_rate(case: tuple[int, int]) -> None:
    wins, trials = case
    low, high = wilson_interval(wins, trials)
    assert 0.0 <= low <= wins / trials <= high <= 1.0
    assert low < high


def test_rate_of_no_trials_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 of 0"):
        wilson_interval(0, 0)


def test_bootstrap_interval_of_a_mean_is_about_students() -> None:
    sample = np.random.default_rng(3).normal(2.0, 1.0, size=40)
    low, high = bootstrap_interval(sample, np.mean)
    mean, student_low, student_high = mean_interval(sample)
    assert low < mean < high
    assert (low, high) == pytest.approx((student_low, student_high), abs=0.1)
    assert bootstrap_interval(sample, np.mean) == (low, high)  # the same again


def test_bootstrap_interval_of_one_value_is_that_value_and_of_none_is_refused() -> None:
    assert bootstrap_interval([3.0], np.mean) == (3.0, 3.0)
    assert bootstrap_interval([1.0, 1.0, 1.0, 9.0], interquartile_mean)[0] == 1.0
    with pytest.raises(ValueError, match="at least one number"):
        bootstrap_interval([], np.mean)
