"""`powqmix launch --seeds N`: runs that differ in nothing but the seed, trained side by side on one machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import ConfigError
from powqmix.files import write_json
from powqmix.process import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_REFUSED

from . import rundir
from .devices import settle_device
from .display import count, duration
from .experiment_file import PlannedRun
from .experiment_runs import Schedule, command_of
from .launch_flags import DEFAULT_ENV, Flags, check_resumable
from .output import print_json
from .seed_group import SeedGroup, SeedRun, assignments_of, summarise


def run(flags: Flags, path: Path | None) -> int:
    """Trains the runs of a new group, or goes on with those of the one in `path`; returns the exit code."""
    group = _resumed(flags, path) if flags.resume and path is not None else _new(flags, path)
    runs = group.runs()
    device, note = settle_device(runs[0].config, flags.gpu, flags.device)
    actors = share_actors(group, runs)
    try:
        envs.make(runs[0].config.env_id, **runs[0].config.env)  # options out of range are told here
    except ValueError as error:
        raise ConfigError(str(error)) from None
    directory = rundir.RunDirectory(group.path) if flags.resume else rundir.create_group(group.path)
    console = Console(stderr=flags.json, highlight=False, soft_wrap=True)
    try:
        group.save()
        _introduce(console, group, runs, actors, note)
        texts = [*flags.assignments, *_lengths(flags)] if flags.resume else []  # a new run has them among its own
        changes = [part for text in texts for part in ("--set", text)]

        def command(planned: PlannedRun) -> list[str]:
            return [*command_of(planned, actors[planned.seed], device), *changes]

        schedule = Schedule(runs, jobs=len(runs), command=command, title="training", console=console)
        code = _exit_code(schedule.run(), schedule, runs)
        summary = summarise(group, {EXIT_DONE: "done", EXIT_INTERRUPTED: "interrupted"}.get(code, "failed"))
        write_json(group.path / "summary.json", summary)
    finally:
        directory.close()
    if code == EXIT_REFUSED and len(schedule.failed) == len(runs) and not flags.resume:
        shutil.rmtree(group.path)  # nothing was trained: the folder would only be in the way
        return code
    _conclude(console, group, summary)
    if flags.json:
        print_json(summary)
    return code


def _exit_code(completed: bool, schedule: Schedule, runs: Sequence[SeedRun]) -> int:
    if all(planned.state == "done" for planned in runs):
        return EXIT_DONE
    if not completed:
        return EXIT_INTERRUPTED
    return EXIT_REFUSED if all(code == EXIT_REFUSED for _, code in schedule.failed) else EXIT_FAILED


def _new(flags: Flags, path: Path | None) -> SeedGroup:
    """A group as the flags say. Raises ConfigError naming the flag."""
    if not flags.seeds or flags.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {flags.seeds}; leave it out for a single run")
    of_file = [] if flags.config is None else assignments_of(configuration.load_yaml(flags.config))
    env, algorithm, preset = flags.env or DEFAULT_ENV, flags.algorithm or "powqmix", flags.preset or "paper"
    texts = [*of_file, *flags.assignments, *_lengths(flags), *(["lockstep=true"] if flags.lockstep else [])]
    config = configuration.resolve(env, algorithm, preset, assignments=texts, seed=flags.seed)
    seeds = tuple(range(config.seed, config.seed + flags.seeds))
    path = path or rundir.RUNS / rundir.default_name(config, flags.seeds)
    return SeedGroup(path, env, algorithm, preset, seeds, None).changed(texts, flags.actors)


def _resumed(flags: Flags, path: Path) -> SeedGroup:
    """The group in `path`, with what may change between its parts. Raises ConfigError on what may not."""
    if not rundir.is_group(path):
        raise ConfigError(f"{path} holds a single run: leave --seeds out to go on with it")
    group = SeedGroup.load(path)
    if flags.seeds not in (None, len(group.seeds)):
        raise ConfigError(
            f"{path} holds {len(group.seeds)} seeds, not {flags.seeds}: leave --seeds out to go on with them, or start "
            "others with --name"
        )
    check_resumable(flags, path, group.config_of(group.seeds[0]))
    return group.changed([*flags.assignments, *_lengths(flags)], flags.actors)


def _lengths(flags: Flags) -> list[str]:
    """Flags that are configuration values of every run, as texts of --set."""
    given = {"steps": flags.steps, "actors.envs_per_actor": flags.envs_per_actor}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def share_actors(group: SeedGroup, runs: Sequence[SeedRun]) -> dict[int, int]:
    """Seed -> actor processes of its run: those asked for in all, split as evenly as can be among unfinished runs."""
    waiting = [planned for planned in runs if planned.state != "done"] or list(runs)
    config, total = waiting[0].config, group.actors
    if total is not None and total < 1:
        raise ConfigError(f"--actors must be at least 1, got {total}; with --seeds it counts those of all runs")
    if config.lockstep and total is not None and total > len(runs):
        raise ConfigError(f"--actors must be at most {len(runs)}: a --lockstep run has one; got {total}")
    if config.lockstep:
        shares = [1] * len(waiting)
    elif total is None:
        each = config.actors.count or min(8, len(os.sched_getaffinity(0)) // len(waiting))
        shares = [max(1, each)] * len(waiting)
    else:
        share, rest = divmod(total, len(waiting))
        shares = [max(1, share + (place < rest)) for place in range(len(waiting))]
    configuration.settle_actors(config, shares[0])  # raises where the run would
    return {planned.seed: share for planned, share in zip(waiting, shares)}


# -- What is shown -----------------------------------------------------------------------------------------------------


def _introduce(console: Console, group: SeedGroup, runs: Sequence[SeedRun], actors: dict[int, int], note: str) -> None:
    mode = ", lockstep" if runs[0].config.lockstep else ""
    console.print(
        f"[bold]powqmix[/bold]  {group.algorithm} on {group.env}, preset {group.preset}, seeds {group.range_text}, "
        f"{sum(actors.values())} actors in all{mode}"
    )
    console.print(f"runs {group.path}/s*/; {note}", markup=False)


def _conclude(console: Console, group: SeedGroup, summary: dict[str, Any]) -> None:
    """What a user reads when all is over, and what to type next."""
    for metric, name in (("test_return_mean", "test return"), ("test_win_rate", "test win rate")):
        mean, interval = summary[metric], summary[f"{metric}_ci95"]
        if mean is None or (metric == "test_win_rate" and not mean):
            continue
        bounds = "" if interval is None else f", 95 % [{interval[0]:.3f}, {interval[1]:.3f}]"
        console.print(f"{name} {mean:.3f}{bounds}, mean of {summary['runs_done']} runs", markup=False)
    played = f"{count(summary['env_steps'])} steps, {count(summary['updates'])} updates in all"
    took = f"the longest took {duration(summary['wall_time_s'])}"
    console.print(
        f"{summary['status']}: {summary['runs_done']} of {len(group.seeds)} runs; {played}; {took}", markup=False
    )
    if summary["runs_done"] < len(group.seeds):
        console.print(f"go on with them:  powqmix-launch --resume --run-dir {group.path}", markup=False)
    else:
        console.print(f"look at them:     powqmix plot {group.path}/s*/", markup=False)
