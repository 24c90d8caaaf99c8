"""What runs of matrix games ended with: greedy joint actions, and joint values beside the payoff."""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from powqmix import envs

from .experiment_file import PlannedRun

ERRORS = {"q_r": "Q_r", "q_star": "Q^*", "q_jt": "Q_jt"}  # tables that can equal a payoff


def joint_values(run: PlannedRun, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run of a matrix game: the payoff, its best joint action, and the largest error of each table; else {}."""
    if summary.get("greedy_joint_action") is None:
        return {}
    payoff = _payoff(run, summary)
    if payoff is None:
        return {}
    best = np.unravel_index(int(np.argmax(payoff)), payoff.shape)
    return {
        "best_joint_action": [int(action) for action in best],
        "payoff_of_greedy": float(payoff[tuple(summary["greedy_joint_action"])]),
        "errors": {
            name: float(np.abs(np.array(summary[name]) - payoff).max())
            for name in ERRORS
            if summary.get(name) is not None
        },
    }


def _payoff(run: PlannedRun, summary: Mapping[str, Any]) -> Any:
    """The game's payoffs, one axis an agent; None if it has several steps."""
    payoff = np.array(envs.make(run.config.env_id, **run.config.env).payoff)  # type: ignore[attr-defined]
    return payoff if payoff.shape == np.shape(_any_table(summary)) else None


def _any_table(summary: Mapping[str, Any]) -> Any:
    """The first table that there is; policies have no Q_tot."""
    return next((summary[name] for name in ("q_tot", *ERRORS) if summary.get(name) is not None), None)


def joint_tables(runs: Sequence[tuple[PlannedRun, Mapping[str, Any]]]) -> str:
    """Markdown: a row a run, then the tables of the first run of each algorithm; "" without a matrix game."""
    known = [(run, summary, joint_values(run, summary)) for run, summary in runs]
    known = [entry for entry in known if entry[2]]
    if not known:
        return ""
    headings = [
        "environment", "algorithm", "seed", "greedy", "payoff", "Q_tot of it", "Q_tot of the best",
        *(f"error of {title}" for title in ERRORS.values()), "updates", "s",
    ]  # fmt: skip
    lines = ["## Joint actions after training", "", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    kinds = list(dict.fromkeys((run.env, run.algorithm) for run, _, _ in known))
    for run, summary, values in sorted(known, key=lambda k: (kinds.index((k[0].env, k[0].algorithm)), k[0].seed)):
        greedy = tuple(summary["greedy_joint_action"])
        q_tot = [
            "-" if summary["q_tot"] is None else f"{np.array(summary['q_tot'])[joint]:.3f}"
            for joint in (greedy, tuple(values["best_joint_action"]))
        ]
        errors = " | ".join(f"{values['errors'][name]:.3f}" if name in values["errors"] else "-" for name in ERRORS)
        lines.append(
            f"| {run.env} | {run.algorithm} | {run.seed} | {_named(greedy)} | {values['payoff_of_greedy']:g} "
            f"| {q_tot[0]} | {q_tot[1]} | {errors} "
            f"| {summary['updates']} | {summary['wall_time_s']:.0f} |"
        )
    shown: set[tuple[str, str]] = set()
    for run, summary, _ in known:
        if (run.env, run.algorithm) not in shown and np.ndim(_any_table(summary)) == 2:
            shown.add((run.env, run.algorithm))
            lines += ["", f"{run.algorithm} on {run.env}, seed {run.seed}:", "", *_grids(summary)]
    return "\n".join(lines)


def _named(actions: Sequence[int]) -> str:
    """(0, 2) as (A,C)."""
    letters = string.ascii_uppercase
    return "(" + ",".join(letters[a] if a < len(letters) else str(a) for a in actions) + ")"


def _grids(summary: Mapping[str, Any]) -> list[str]:
    """A two-agent game's tables side by side."""
    grids = {title: summary[name] for name, title in (("q_tot", "Q_tot"), *ERRORS.items()) if summary.get(name)}
    rows, width = np.shape(_any_table(summary))
    names = string.ascii_uppercase
    heads = [[f"{title} {names[column % 26]}" for column in range(width)] for title in grids]
    lines = ["| | " + " | ".join(itertools.chain(*heads)) + " |", "|---" * (1 + width * len(grids)) + "|"]
    for row in range(rows):
        cells = [f"{grid[row][column]:.2f}" for grid in grids.values() for column in range(width)]
        lines.append(f"| {names[row % 26]} | " + " | ".join(cells) + " |")
    return lines
