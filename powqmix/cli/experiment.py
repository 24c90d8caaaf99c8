"""`powqmix experiment FILE`: a grid of algorithms, environments and seeds, trained, resumed, tabulated and drawn."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from powqmix.process import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED

from . import experiment_results as results
from . import flags as command_line
from .errors import CommandError
from .experiment_file import Experiment, PlannedRun, plan
from .experiment_runs import Schedule, command_of
from .flags import Assignments, Labels, Number, PathFlag, Switch, Word
from .output import print_json
from .rundir import RUNS


@dataclass(frozen=True)
class Flags:
    """Trains every algorithm of FILE on each of its environments with each of its seeds, then tabulates and draws.

    Each run is an ordinary run of `powqmix launch` in a folder of its own. Ctrl-C saves the runs that are on their way;
    the same command again skips what is done and goes on with the rest. The file:

        about: What is compared, and why.

        algorithms: [powqmix, qmix, {algorithm: powqmix, label: 10/0, set: {weighting.recognized_weight: 10}}]

        environments: [matrix/powqmix, {env: predator_prey, label: p = -3, set: {env.punishment: -3}}]

        seeds: 5  (or a list)

        preset: paper

        set: {steps: 1000000}  (for all; an algorithm and an environment may have their own preset and set)

    An environment with `optional: true` is left out where it is not installed. Example:
        powqmix experiment experiments/table1.yaml --jobs 2
        powqmix experiment experiments/predator_prey.yaml --only powqmix --only "p = -3" --seeds 2
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The experiment, as YAML."""
    only: Labels = ()
    """train only what has this label, an algorithm or an environment; tables have all runs that are done"""
    seeds: Number = None
    """train only the first N seeds of the file"""
    out: PathFlag = None
    """Folder of the runs and of results.json, results.md, marl_eval.json and the figures (default: runs/FILE's name)"""
    jobs: int = 1
    """Runs at a time. They share the cores, and the GPU if there is one."""
    actors: Number = None
    """actor processes of each run (default: the cores divided by --jobs, at most 8)"""
    device: Word = None
    """cpu, cuda or cuda:1, for all runs (default: CUDA if there is one)"""
    assignments: Assignments = ()
    """any configuration value of all runs, above the file's, as in --set training.max_updates=100"""
    dry_run: Switch = False
    """print the commands of the runs that are left, and train nothing"""
    report: Switch = False
    """train nothing: write tables and figures of the runs that are done, also while others go on"""
    json: Switch = False
    """print the results as one JSON object on stdout"""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "experiment", arguments)


def run(flags: Flags) -> int:
    if flags.jobs < 1:
        raise CommandError(f"--jobs must be at least 1, got {flags.jobs}", 2)
    if flags.actors is not None and flags.actors < 1:
        raise CommandError(f"--actors must be at least 1, got {flags.actors}", 2)
    if flags.seeds is not None and flags.seeds < 1:
        raise CommandError(f"--seeds must be at least 1, got {flags.seeds}", 2)
    out = flags.out or RUNS / flags.file.stem
    experiment = plan(flags.file, out, flags.assignments)
    for reason in dict.fromkeys(experiment.left_out.values()):
        labels = [label for label, why in experiment.left_out.items() if why == reason]
        print(f"powqmix experiment: left out {', '.join(labels)}: {reason}", file=sys.stderr)
    if not experiment.runs:
        raise CommandError(f"{flags.file}: none of its environments can run here")
    actors = flags.actors or max(1, min(8, len(os.sched_getaffinity(0)) // flags.jobs))
    runs = experiment.chosen(flags.only, flags.seeds)
    if flags.dry_run:
        for planned in runs:
            if planned.state != "done":
                print(shlex.join(["powqmix", *command_of(planned, actors, flags.device)]))
        return EXIT_DONE
    code = EXIT_DONE
    if not flags.report:
        code = _train(runs, flags, actors)
    _report(experiment, out, flags)
    return code


def _train(runs: Sequence[PlannedRun], flags: Flags, actors: int) -> int:
    schedule = Schedule(runs, jobs=flags.jobs, command=lambda planned: command_of(planned, actors, flags.device))
    if not schedule.run():
        print("interrupted; the same command goes on with it", file=sys.stderr)
        return EXIT_INTERRUPTED
    if schedule.failed:
        print(
            f"{len(schedule.failed)} runs failed; the same command tries them again", file=sys.stderr
        )  # fmt: skip
        return EXIT_FAILED
    return EXIT_DONE


def _report(experiment: Experiment, out: Path, flags: Flags) -> None:
    found = results.collect(experiment)
    if not found.runs:
        print("powqmix experiment: no run is done yet, so there is no table", file=sys.stderr)
        return
    paths = results.write(found, out)
    if flags.json:
        print_json(found.to_dict())
    else:
        print(found.table())
        print(*paths, sep="\n")
