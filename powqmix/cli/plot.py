"""`powqmix plot RUN...`: learning curves of runs over seeds, as PNG and SVG."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from . import figure
from . import flags as command_line
from .curves import Group, NoCurve, group_curves, read_curve, usual_metric
from .errors import CommandError
from .flags import PathFlag, RunPaths, Switch, existing_run
from .output import count, print_json, progress


@dataclass(frozen=True)
class Flags:
    """Draws learning curves of one or more runs and prints the paths of the PNG and the SVG.

    Runs that differ only in the seed are one line: their interquartile mean, with the 95 % bootstrap interval over
    seeds, on the steps that all of them cover. A single run is drawn as it is. Environments get a panel each. Example:
        powqmix plot runs/*-powqmix-* runs/*-qmix-* --out qmix.png
    """

    runs: Annotated[RunPaths, tyro.conf.arg(metavar="RUN...")]
    """Folders of the runs."""
    out: PathFlag = None
    """FILE.png; the SVG goes beside it. Without it learning_curves.png, in the run's folder if it is only one."""
    metric: str = ""
    """What to draw: test_return_mean, test_win_rate, return_mean, loss_tot, or any other number in metrics.jsonl.
    Without it the win rate in tests where something can be won, else the return."""
    title: str = ""
    """A heading above the figure."""
    json: Switch = False
    """Print one JSON object: the paths, and each line's last value with its interval."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "plot", arguments)


def run(flags: Flags) -> int:
    if not flags.runs:
        raise CommandError("name at least one run's folder, as in: powqmix plot runs/NAME", 2)
    out = flags.out or (flags.runs[0] if len(flags.runs) == 1 else Path()) / "learning_curves.png"
    if out.suffix.lower() != ".png":
        raise CommandError(f"--out must end in .png (the SVG is written beside it), got {out}", 2)
    if not out.parent.is_dir():
        raise CommandError(f"there is no folder {out.parent} to write {out.name} to; make it first", 2)
    try:
        runs = [existing_run(path) for path in dict.fromkeys(flags.runs)]
        metric = flags.metric or usual_metric(runs)
        curves = [read_curve(run, metric) for run in runs]
        groups = group_curves(curves)
    except NoCurve as error:
        raise CommandError(str(error)) from None
    for notice in notices(groups):
        print(f"powqmix plot: {notice}", file=sys.stderr)
    with progress("drawing " + (f"{len(curves)} runs" if len(curves) > 1 else "one run"), 1):
        svg = figure.draw(groups, metric, flags.title, out)
    if flags.json:
        report = {"png": str(out), "svg": str(svg), "metric": metric, "lines": [_describe(g) for g in groups]}
        print_json(report)
    else:
        print(out, svg, sep="\n")
    return 0


def notices(groups: Sequence[Group]) -> list[str]:
    """What a reader of the figure should know and does not see in it."""
    said = []
    for group in groups:
        name = f"{group.env} {group.label}"
        repeated = [str(seed) for seed, times in Counter(c.seed for c in group.curves).items() if times > 1]
        if repeated:
            said.append(f"{name}: seed {', '.join(repeated)} is there more than once; the interval is too narrow")
        shortest = min(group.curves, key=lambda curve: float(curve.steps[-1]))
        longest = max(float(curve.steps[-1]) for curve in group.curves)
        if shortest.steps[-1] < 0.9 * longest:
            ends = f"where {shortest.run} ends; the longest goes to {count(longest)}"
            said.append(f"{name}: drawn to {count(float(shortest.steps[-1]))} steps, {ends}")
    return said


def _describe(group: Group) -> dict[str, object]:
    return {
        "env": group.env,
        "algorithm": group.curves[0].algorithm,
        "label": group.label,
        "runs": [str(curve.run) for curve in group.curves],
        "seeds": [curve.seed for curve in group.curves],
        "last": {
            "env_steps": float(group.steps[-1]),
            "value": float(group.centre[-1]),
            "ci95": [float(group.low[-1]), float(group.high[-1])] if len(group.curves) > 1 else None,
        },
    }
