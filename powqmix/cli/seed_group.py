"""A folder of runs that differ only in their seed: what it was started as, its runs, and what came of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from powqmix import config as configuration
from powqmix.config import Config
from powqmix.files import read_json, write_json
from powqmix.statistics import mean_interval

from .experiment_file import PlannedRun
from .output import finite
from .rundir import GROUP

TOTALS = ("env_steps", "episodes", "updates")


class SeedRun(PlannedRun):
    """A run of the group. One that is done is unfinished again where more steps or updates are asked for."""

    @property
    def name(self) -> str:
        return f"seed {self.seed}"

    @property
    def state(self) -> str:
        state = super().state
        if state != "done":
            return state
        there = configuration.load(self.path / "config.yaml")
        wanted = self.config
        longer = wanted.steps > there.steps or wanted.training.max_updates > there.training.max_updates
        return "unfinished" if longer else "done"


@dataclass(frozen=True)
class SeedGroup:
    """What group.json holds: enough to start each of the runs, also one that was never begun."""

    path: Path
    env: str
    algorithm: str
    preset: str
    seeds: tuple[int, ...]
    actors: int | None  # of all runs together; None: by the machine
    assignments: tuple[str, ...] = ()  # of --set: every value above the preset

    @classmethod
    def load(cls, path: Path) -> SeedGroup:
        record = read_json(path / GROUP)
        texts, seeds = tuple(record["assignments"]), tuple(record["seeds"])
        return cls(path, record["env"], record["algorithm"], record["preset"], seeds, record["actors"], texts)

    def save(self) -> None:
        record = dataclasses.asdict(self)
        del record["path"]
        write_json(self.path / GROUP, record)

    def changed(self, assignments: Iterable[str], actors: int | None) -> SeedGroup:
        """With other values, as a resumed group may have, and another number of actors unless that is None."""
        by_key = {configuration.parse_assignment(text)[0]: text for text in (*self.assignments, *assignments)}
        actors = self.actors if actors is None else actors
        return dataclasses.replace(self, assignments=tuple(by_key.values()), actors=actors)

    def config_of(self, seed: int) -> Config:
        """Raises ConfigError naming the first value that is wrong."""
        return configuration.resolve(self.env, self.algorithm, self.preset, assignments=self.assignments, seed=seed)

    def runs(self) -> tuple[SeedRun, ...]:
        """A run for each seed, in runs/NAME/s<seed>."""
        return tuple(
            SeedRun(self.env, self.algorithm, seed, self.config_of(seed), self.assignments, self.path / f"s{seed}")
            for seed in self.seeds
        )

    @property
    def range_text(self) -> str:
        return str(self.seeds[0]) if len(self.seeds) == 1 else f"{self.seeds[0]} to {self.seeds[-1]}"


def assignments_of(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A configuration file's values as texts of --set: {"a": {"b": 1}} as a.b=1."""
    texts: list[str] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        inner = isinstance(value, Mapping)
        texts += assignments_of(value, f"{name}.") if inner else [f"{name}={json.dumps(value, default=str)}"]
    return texts


def summarise(group: SeedGroup, status: str) -> dict[str, Any]:
    """The group's summary.json: every run's, sums, and mean and 95 % Student interval over the runs that are done."""
    summaries: list[dict[str, Any]] = [
        {"seed": run.seed, "path": str(run.path), "status": "new"} | read_json(run.path / "summary.json")
        for run in group.runs()
    ]
    done = [summary for summary in summaries if summary["status"] == "done"]
    report: dict[str, Any] = {
        "status": status,
        "env": group.env,
        "algorithm": group.algorithm,
        "preset": group.preset,
        "seeds": list(group.seeds),
        "runs_done": len(done),
        "wall_time_s": max((summary.get("wall_time_s") or 0.0) for summary in summaries),
        **{name: sum(summary.get(name) or 0 for summary in summaries) for name in TOTALS},
    }
    for metric in ("test_return_mean", "test_win_rate"):
        last = [summary[metric] for summary in done if summary.get(metric) is not None]
        mean, low, high = mean_interval(last) if last else (None, None, None)
        report |= {metric: mean, f"{metric}_ci95": [low, high] if len(last) > 1 else None}
    return dict(finite(report | {"runs": summaries}))
