"""What came of an experiment: one table as JSON and Markdown, the figures, and an export for marl-eval."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from powqmix.files import read_json, write_json
from powqmix.machine import processor
from powqmix.statistics import Floats, bootstrap_interval, interquartile_mean

from . import figure
from .curves import Curve, Group, NoCurve, average, read_curve
from .experiment_file import Experiment, PlannedRun
from .experiment_tables import joint_tables, joint_values
from .output import finite

METRICS = {"test_return_mean": "return", "test_win_rate": "win_rate"}  # ours, and marl-eval's usual names


@dataclass(frozen=True)
class Finished:
    """A run that is done."""

    run: PlannedRun
    summary: Mapping[str, Any]
    curves: Mapping[str, Curve]  # by metric


@dataclass(frozen=True)
class Results:
    """All that is done of an experiment."""

    experiment: Experiment
    runs: tuple[Finished, ...]

    def groups(self, metric: str) -> list[tuple[str, str, list[Curve]]]:
        """(environment, algorithm, its curves), in the file's order; those with a curve of `metric`."""
        members: dict[tuple[str, str], list[Curve]] = {}
        for planned in self.experiment.runs:  # gives the order
            members.setdefault((planned.env, planned.algorithm), [])
        for done in self.runs:
            if metric in done.curves:
                members[done.run.env, done.run.algorithm].append(done.curves[metric])
        return [(*key, curves) for key, curves in members.items() if curves]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each environment, algorithm and metric: the last test of every run, their mean and IQM."""
        return [
            {"env": env, "algorithm": algorithm, "metric": metric, **statistics_of(curves)}
            for metric in METRICS
            for env, algorithm, curves in self.groups(metric)
        ]

    def to_dict(self) -> dict[str, Any]:
        """results.json."""
        experiment = self.experiment
        return {
            "experiment": experiment.name,
            "about": experiment.about,
            "command": " ".join(["powqmix", *sys.argv[1:]]),
            "date": datetime.date.today().isoformat(),
            "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores",
            "runs_done": len(self.runs),
            "runs_planned": len(experiment.runs),
            "left_out": dict(experiment.left_out),
            "results": self.rows(),
            "runs": [
                {
                    "path": str(done.run.path), "label_env": done.run.env, "label_algorithm": done.run.algorithm,
                    **done.summary, **joint_values(done.run, done.summary), "run_json": provenance(done.run.path),
                }
                for done in self.runs
            ],
        }  # fmt: skip

    def table(self) -> str:
        """The rows as Markdown."""
        lines = [
            "| environment | algorithm | metric | runs | mean | 95 % | IQM | 95 % |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows():
            lines.append(
                f"| {row['env']} | {row['algorithm']} | {row['metric']} | {len(row['values'])} | {row['mean']:.3f} "
                f"| {_interval(row['mean_ci95'])} | {row['iqm']:.3f} | {_interval(row['iqm_ci95'])} |"
            )
        return "\n".join(lines)

    def markdown(self) -> str:
        """results.md."""
        values, experiment = self.to_dict(), self.experiment
        parts = [
            f"# {experiment.name}",
            experiment.about,
            f"`{values['command']}`, {values['date']}, {values['machine']}; {len(self.runs)} of "
            f"{len(experiment.runs)} runs done.",
            "Of each run its last test counts. Mean and interquartile mean (IQM) over runs, with 95 % bootstrap "
            "intervals (2000 resamples of runs).",
            self.table(),
            joint_tables([(done.run, done.summary) for done in self.runs]),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def statistics_of(curves: Sequence[Curve]) -> dict[str, Any]:
    """Mean and IQM of the curves' last values with 95 % bootstrap intervals, which a single run does not have."""
    ordered = sorted(curves, key=lambda curve: curve.seed)
    values = np.array([curve.values[-1] for curve in ordered])
    several = len(values) > 1
    return {
        "seeds": [curve.seed for curve in ordered],
        "values": values.tolist(),
        "env_steps": [float(curve.steps[-1]) for curve in ordered],
        "mean": float(values.mean()),
        "mean_ci95": list(bootstrap_interval(values, np.mean)) if several else None,
        "iqm": float(interquartile_mean(values)),
        "iqm_ci95": list(bootstrap_interval(values, interquartile_mean)) if several else None,
    }


def provenance(run: Path) -> dict[str, Any]:
    """When, with what and on what a run was made, of its run.json; not where it lay and on which host."""
    record = read_json(run / "run.json")
    machine: dict[str, Any] = record.get("machine", {})
    kept = ("started", "resumed", "powqmix", "python", "packages", "git")
    return {
        **{key: record[key] for key in kept if key in record},
        "machine": {key: machine[key] for key in ("processor", "cores", "device") if key in machine},
    }


def collect(experiment: Experiment) -> Results:
    """Reads the runs that are done."""
    finished = []
    for run in experiment.runs:
        if run.state != "done":
            continue
        curves = {}
        for metric in METRICS:
            if metric == "test_win_rate" and not experiment.specs[run.env].has_win:
                continue
            try:
                curves[metric] = read_curve(run.path, metric)
            except NoCurve as error:
                print(f"powqmix experiment: {error}", file=sys.stderr)
        finished.append(Finished(run, read_json(run.path / "summary.json"), curves))
    return Results(experiment, tuple(finished))


def write(results: Results, out: Path) -> list[Path]:
    """Writes results.json, results.md, marl_eval.json and a figure for each metric; returns their paths."""
    write_json(out / "results.json", finite(results.to_dict()))
    (out / "results.md").write_text(results.markdown(), encoding="utf-8")
    write_json(out / "marl_eval.json", marl_eval(results))
    paths = [out / "results.json", out / "results.md", out / "marl_eval.json"]
    for metric in METRICS:
        groups = [
            Group(env, algorithm, tuple(curves), *average(curves)) for env, algorithm, curves in results.groups(metric)
        ]
        if groups:
            png = out / f"{metric}.png"
            paths += [png, figure.draw(groups, metric, results.experiment.name, png)]
    return paths


def marl_eval(results: Results) -> dict[str, Any]:
    """The curves in the layout that marl-eval reads: environment > task > algorithm > run > step > metric.

    marl-eval wants equally many steps in all runs of an environment, so the tests are interpolated at as many evenly
    spaced steps as the shortest run has tests. `absolute_metrics` holds the last test: no other is made. A test enters
    by its mean over episodes, a list of one.
    """
    exported: dict[str, Any] = {}
    by_family: dict[str, list[Finished]] = {}
    for done in results.runs:
        if done.curves:
            by_family.setdefault(done.run.config.env_id.partition("/")[0], []).append(done)
    for family, members in by_family.items():
        points = min(len(curve.steps) for done in members for curve in done.curves.values())
        ends: dict[str, float] = {}
        for done in members:
            for curve in done.curves.values():
                ends[done.run.env] = min(ends.get(done.run.env, float("inf")), float(curve.steps[-1]))
        for done in members:
            grid = np.linspace(0.0, ends[done.run.env], points) if points > 1 else np.array([ends[done.run.env]])
            task = exported.setdefault(family, {}).setdefault(done.run.env, {})
            of_algorithm = task.setdefault(done.run.algorithm.replace(",", ";"), {})  # it splits names at commas
            of_algorithm[f"seed_{done.run.seed}"] = _exported_run(done, grid)
    return exported


def _exported_run(done: Finished, grid: Floats) -> dict[str, Any]:
    sampled = {METRICS[name]: np.interp(grid, c.steps, c.values) for name, c in done.curves.items()}
    run: dict[str, Any] = {
        f"step_{k}": {"step_count": round(step), **{name: [float(v[k])] for name, v in sampled.items()}}
        for k, step in enumerate(grid.tolist())
    }
    run["absolute_metrics"] = {METRICS[name]: [float(curve.values[-1])] for name, curve in done.curves.items()}
    return run
