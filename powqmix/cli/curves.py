"""Learning curves of runs: read from metrics.jsonl, grouped so that only the seed differs, averaged over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from powqmix import config as configuration
from powqmix.config import ConfigError, near
from powqmix.statistics import Floats, interquartile_mean, stratified_bootstrap_interval

# Parts of a configuration that do not change what is learned, or how long: runs that differ in them are one group.
INCIDENTAL = (
    "seed", "steps", "device", "threads", "lockstep", "log_interval_s",
    "actors", "checkpoint", "test", "replay.path", "replay.keep_when_done", "replay.device_copy",
    "training.max_updates", "training.cuda_graphs",
)  # fmt: skip
GRID_POINTS = 200  # at most, of a mean over runs


class NoCurve(Exception):
    """A run has nothing to draw; the message says what it has, and what to do."""


@dataclass(frozen=True)
class Curve:
    """One run's values of one metric."""

    run: Path
    env: str
    algorithm: str
    seed: int
    settings: Mapping[str, Any]  # the configuration, flat, without what is incidental
    steps: Floats  # [T] environment steps, ascending
    values: Floats  # [T]


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, and their mean."""

    env: str
    label: str  # the algorithm, and what tells it from other groups of the same
    curves: tuple[Curve, ...]
    steps: Floats  # [T]
    centre: Floats  # [T] interquartile mean over runs; of one run its values
    low: Floats  # [T] 95 % bootstrap interval; of one run equal to centre
    high: Floats


def read_curve(run: Path, metric: str) -> Curve:
    """The curve of `metric` in the run's metrics.jsonl. Raises NoCurve where there is none, ConfigError."""
    config = configuration.load(run / "config.yaml")
    # A test is of the policy of the step that asked for it, not of the line that reports it.
    clock = "test_env_steps" if metric.startswith("test_") else "env_steps"
    points: dict[float, float] = {}
    numbers: set[str] = set()
    for line in _lines(run / "metrics.jsonl"):
        numbers |= {name for name, value in line.items() if isinstance(value, (int, float))}
        value = line.get(metric)
        if isinstance(value, (int, float)) and math.isfinite(value) and clock in line:
            points[float(line[clock])] = float(value)
    if not points:
        raise NoCurve(_nothing(run, metric, numbers))
    steps = np.array(sorted(points))
    return Curve(
        run=run,
        env=config.env_id,
        algorithm=config.algorithm,
        seed=config.seed,
        settings=settings_of(config.to_dict()),
        steps=steps,
        values=np.array([points[step] for step in steps]),
    )


def usual_metric(runs: Sequence[Path]) -> str:
    """What these runs are judged by: the win rate in tests if any of them won one, else the return."""
    won = any(line.get("test_win_rate") for run in runs for line in _lines(run / "metrics.jsonl"))
    return "test_win_rate" if won else "test_return_mean"


def _lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a metrics file; a torn last line, of a run that is going on or was killed, is left out."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            lines.append(dict(json.loads(text)))
        except (json.JSONDecodeError, TypeError, ValueError):
            if number < len(texts):
                raise ConfigError(f"{path}: line {number} is no JSON object; remove it to plot the rest") from None
    return lines


def _nothing(run: Path, metric: str, numbers: set[str]) -> str:
    if not numbers:
        return f"{run} has no metrics yet; its first line comes some seconds after training begins"
    if metric.startswith("test_") and "test_env_steps" not in numbers:
        return f"{run} has no test yet; wait for the first, or plot --metric return_mean (training episodes)"
    return f"{run} has no metric {metric!r}; {near(metric, numbers)}"


def settings_of(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration flat, {"env.punishment": -2.0, ...}, without what is incidental."""
    settings: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in INCIDENTAL:
            continue
        if isinstance(value, Mapping):
            settings |= settings_of(value, f"{key}.")
        else:
            settings[key] = value
    return settings


def group_curves(curves: Sequence[Curve]) -> list[Group]:
    """The curves in groups, by algorithm in the order of ALGORITHMS, then as they were given."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(json.dumps(curve.settings, sort_keys=True, default=str), []).append(curve)
    made = []
    for members in groups.values():
        first = members[0]
        rivals = [c for c in curves if (c.env, c.algorithm) == (first.env, first.algorithm)]
        label = " ".join([first.algorithm, *_distinctive(first, rivals)])
        made.append(Group(first.env, label, tuple(members), *average(members)))
    order = list(configuration.ALGORITHMS)
    return sorted(made, key=lambda group: order.index(group.curves[0].algorithm))


def _distinctive(curve: Curve, rivals: Sequence[Curve]) -> list[str]:
    """The settings in which `curve` differs from some of its rivals, as key=value; of a preset its name alone."""
    if len({rival.settings["preset"] for rival in rivals}) > 1:
        rivals = [rival for rival in rivals if rival.settings["preset"] == curve.settings["preset"]]
        return [str(curve.settings["preset"]), *_distinctive(curve, rivals)]
    keys = dict.fromkeys(key for rival in rivals for key in rival.settings)
    varying = [key for key in keys if any(rival.settings.get(key) != curve.settings.get(key) for rival in rivals)]
    return [f"{key.rpartition('.')[2]}={curve.settings.get(key, 'default')}" for key in varying]


def average(curves: Sequence[Curve]) -> tuple[Floats, Floats, Floats, Floats]:
    """(steps, centre, low, high), each [T], on the steps that all of the runs cover."""
    if len(curves) == 1:
        return curves[0].steps, curves[0].values, curves[0].values, curves[0].values
    start, end = max(c.steps[0] for c in curves), min(c.steps[-1] for c in curves)
    if start > end:
        raise NoCurve(f"{curves[0].run} and {curves[1].run} are one group and share no range of steps; plot them apart")
    grid = np.unique(np.concatenate([c.steps for c in curves]))
    grid = grid[(grid >= start) & (grid <= end)]
    if len(grid) > GRID_POINTS:
        grid = np.linspace(start, end, GRID_POINTS)
    values = np.stack([np.interp(grid, c.steps, c.values) for c in curves])
    low, high = stratified_bootstrap_interval([values])
    return grid, interquartile_mean(values), low, high
