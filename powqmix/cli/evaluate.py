"""`powqmix evaluate RUN`: greedy episodes of a run's checkpoint, played in this process, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from powqmix import envs
from powqmix.actors.rollout import Rollout
from powqmix.learner.checkpoint import CheckpointError
from powqmix.learner.saved_policy import SavedPolicy, load_policy
from powqmix.statistics import mean_interval, wilson_interval
from powqmix.types import Episode, derive_seed, episode_schema

from . import flags as command_line
from .errors import CommandError
from .flags import Number, RunPath, Switch, existing_run
from .output import count, print_json, print_table, progress

EVALUATION = 900  # path of the evaluation's random streams below its seed: none that training has


@dataclass(frozen=True)
class Flags:
    """Plays greedy episodes with the policy of a run's checkpoint and prints how well it does.

    Return and episode length are means with 95 % Student intervals, the win rate has a 95 % Wilson interval. The same
    seed gives the same episodes. Example:
        powqmix evaluate runs/predator_prey-powqmix-s0 --episodes 200 --random
    """

    run: Annotated[RunPath, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    episodes: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 100
    """Episodes to play."""
    seed: int = 0
    """Seed of the environments and of the random policy."""
    checkpoint: Number = None
    """The checkpoint checkpoints/step-N; without it the newest whole one."""
    envs: int = 8
    """Environments played side by side. With the seed, it decides which episodes are played."""
    random: Switch = False
    """Play as many episodes of a uniformly random legal policy too, for comparison."""
    json: Switch = False
    """Print one JSON object instead of a table."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "evaluate", arguments)


def run(flags: Flags) -> int:
    path = existing_run(flags.run)
    for name in ("episodes", "envs"):
        if getattr(flags, name) < 1:
            raise CommandError(f"--{name} must be at least 1, got {getattr(flags, name)}", 2)
    if flags.seed < 0:
        raise CommandError(f"--seed must be at least 0, got {flags.seed}", 2)
    policy = saved_policy(path, flags.checkpoint)
    kinds = {"greedy": 0.0} | ({"random": 1.0} if flags.random else {})
    results: dict[str, dict[str, Any]] = {}
    total = flags.episodes * len(kinds)
    with progress(f"{total} episodes of {policy.config.env_id}", total) as bar:
        for kind, epsilon in kinds.items():
            episodes, optimal = play(policy, flags.episodes, epsilon, flags.seed, flags.envs, bar.advance)
            results[kind] = summarise(episodes, policy.env_spec.has_win)
    report = {
        "run": str(path),
        "env": policy.config.env_id,
        "env_version": policy.env_spec.version,
        "algorithm": policy.config.algorithm,
        "training_seed": policy.config.seed,
        "updates": policy.updates,
        "env_steps": policy.env_steps,
        "seed": flags.seed,
        "episodes": flags.episodes,
        **results["greedy"],
        "optimal_return": optimal,
    }
    if flags.random:
        report["random"] = results["random"]
    if flags.json:
        print_json(report)
    else:
        _print(report, results)
    return 0


def saved_policy(run_dir: Path, updates: int | None) -> SavedPolicy:
    """`load_policy` for a command: what is wrong with the checkpoints ends it with that text."""
    try:
        return load_policy(run_dir, updates)
    except CheckpointError as error:
        raise CommandError(str(error)) from None


def play(
    policy: SavedPolicy,
    episodes: int,
    epsilon: float,
    seed: int,
    num_envs: int,
    done: Callable[[float], None] = lambda n: None,
) -> tuple[list[Episode], float | None]:
    """`episodes` episodes with probability `epsilon` of a random action: 0 plays greedily, 1 at random.

    Whole rounds of one episode in each environment, so that short episodes are not played more often than long ones;
    what the last round has too many is dropped by environment, not by length. Beside them the most that an episode can
    give, where the environment knows it.
    """
    num_envs = min(num_envs, episodes)
    config = policy.config
    env = envs.make(config.env_id, num_envs, derive_seed(seed, EVALUATION, 0), **config.env)
    try:
        schema = episode_schema(policy.env_spec, config.replay.dtype)
        rollout = Rollout(env, policy.policy_spec.greedy(), schema, derive_seed(seed, EVALUATION, 1))
        rollout.set_parameters(policy.parameters, policy.updates)
        played: list[Episode] = []
        while len(played) < episodes:
            played += rollout.play_round(epsilon)
            done(num_envs)
    finally:
        env.close()
    return played[:episodes], getattr(env, "optimal_return", None)


def summarise(episodes: Sequence[Episode], has_win: bool) -> dict[str, Any]:
    """Means with their 95 % intervals, as the report has them; `win_rate` is None where nothing can be won."""
    returns = [e.episode_return for e in episodes]
    mean, low, high = mean_interval(returns)
    length, length_low, length_high = mean_interval([e.steps for e in episodes])
    wins = sum(e.battle_won for e in episodes)
    return {
        "return_mean": mean,
        "return_ci95": [low, high],
        "return_std": float(np.std(returns, ddof=1)) if len(returns) > 1 else None,
        "return_min": min(returns),
        "return_max": max(returns),
        "win_rate": wins / len(episodes) if has_win else None,
        "win_rate_ci95": list(wilson_interval(wins, len(episodes))) if has_win else None,
        "length_mean": length,
        "length_ci95": [length_low, length_high],
    }


def _print(report: dict[str, Any], results: dict[str, dict[str, Any]]) -> None:
    trained = "" if report["env_steps"] is None else f" ({count(report['env_steps'])} environment steps)"
    print(f"{report['env']}, {report['algorithm']}, training seed {report['training_seed']}")
    print(f"after {count(report['updates'])} updates{trained}; {report['episodes']} episodes, 95 % intervals")
    rows = []
    for kind, values in results.items():
        row = [
            kind,
            _interval(values["return_mean"], values["return_ci95"]),
            f"{values['return_min']:g} .. {values['return_max']:g}",
            _interval(values["length_mean"], values["length_ci95"]),
        ]
        if values["win_rate"] is not None:
            row.append(_interval(100 * values["win_rate"], [100 * end for end in values["win_rate_ci95"]]) + " %")
        rows.append(row)
    optimal = report["optimal_return"]
    if optimal is not None:
        rows.append(["optimum", f"{optimal:.2f}", *[""] * (len(rows[0]) - 2)])
    headings = ["policy", ">mean return", ">min .. max", ">mean length", ">win rate"]
    print_table(headings[: len(rows[0])], rows)
    if optimal and optimal > 0 and report["return_mean"] > 0:
        print(f"the greedy policy reaches {100 * report['return_mean'] / optimal:.0f} % of the optimum")


def _interval(mean: float, ends: Sequence[float]) -> str:
    bounds = "" if any(np.isnan(end) for end in ends) else f"  [{ends[0]:.2f}, {ends[1]:.2f}]"
    return f"{mean:.2f}{bounds}"
