"""Statistics of few runs: interquartile means with bootstrap intervals over seeds, intervals of means and of rates.

Reinforcement learning has few seeds and heavy tails. The interquartile mean with a stratified bootstrap is what Agarwal
et al. recommend for that (Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021, arXiv
2108.13264).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


def interquartile_mean(values: npt.ArrayLike, axis: int = 0) -> Floats:
    """Mean along `axis` without the lowest and the highest quarter, each rounded down: of 5 values the middle 3."""
    ordered = np.sort(np.asarray(values, np.float64), axis=axis)
    count = ordered.shape[axis]
    if count == 0:
        raise ValueError("the interquartile mean of no values was asked for")
    cut = count // 4
    middle: Floats = np.take(ordered, np.arange(cut, count - cut), axis=axis).mean(axis=axis)
    return middle


def stratified_bootstrap_interval(
    strata: Sequence[Floats], *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats]:
    """Percentile interval (low, high), each [T], of the interquartile mean over all runs of all strata.

    strata: for each task f64 [runs, T], one row a run; runs are resampled with replacement within their task, a row as
    a whole, so that neighbouring points of a curve stay together. A stratum of one run has no spread to resample.
    Raises ValueError without a stratum, or if one is no matrix or has another T.
    """
    lengths = {s.shape[1] for s in strata if s.ndim == 2 and len(s)}
    if not strata or len(lengths) != 1 or any(s.ndim != 2 or not len(s) for s in strata):
        raise ValueError(f"strata must be matrices [runs, T] of one T, got the shapes {[s.shape for s in strata]}")
    rng = np.random.default_rng(seed)
    estimates = np.empty((resamples, lengths.pop()))
    for i in range(resamples):
        drawn = [s[rng.integers(len(s), size=len(s))] for s in strata]
        estimates[i] = interquartile_mean(np.concatenate(drawn))
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail], axis=0)
    return low, high


def bootstrap_interval(
    values: npt.ArrayLike,
    estimate: Callable[[Floats], Any],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval (low, high) of `estimate`, a function of f64 [runs], over runs drawn with replacement.

    Raises ValueError if `values` is no list of at least one number.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a list of at least one number, got the shape {list(sample.shape)}")
    drawn = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    estimates = [float(estimate(sample[row])) for row in drawn]
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return float(low), float(high)


def mean_interval(values: npt.ArrayLike) -> tuple[float, float, float]:
    """(mean, low, high): the mean with its 95 % Student interval. A single value has no interval: low, high are nan."""
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a list of at least one number, got the shape {list(sample.shape)}")
    mean = float(sample.mean())
    if len(sample) == 1:
        return mean, math.nan, math.nan
    half = student_t975(len(sample) - 1) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return mean, mean - half, mean + half


def student_t975(freedom: int) -> float:
    """The 97.5 % point of Student's distribution with `freedom` degrees, to 1 % at 3 degrees and better above.

    Exact for 1 and 2 degrees; from there the Cornish-Fisher expansion about the normal distribution (Abramowitz and
    Stegun 26.7.5).
    """
    if freedom < 1:
        raise ValueError(f"freedom must be at least 1, got {freedom}")
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, n = Z95, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )


def wilson_interval(wins: int, trials: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a rate: within [0, 1], and sensible at 0 and at all wins (Wilson 1927)."""
    if not 0 <= wins <= trials or trials == 0:
        raise ValueError(f"wins must be between 0 and trials, and trials above 0; got {wins} of {trials}")
    rate, z = wins / trials, Z95
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # At the ends the formula gives exactly 0 or 1, but for rounding.
    low = 0.0 if wins == 0 else (centre - half) / scale
    high = 1.0 if wins == trials else (centre + half) / scale
    return low, high
