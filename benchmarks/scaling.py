"""What more actors give: 1, 2, 4 ... real ones, 64 that only sleep, and the memory of 64 real ones.

    python benchmarks/scaling.py [--env skirmish/3m] [--actors 1 2 4] [--json benchmarks/results/scaling.json]

Actors and the null learner (the real receiver, nothing behind it) share this machine's cores, or as many of them as
there are actors. The numbers of actors are measured in turns, and the table shows medians over the rounds. With --json
it goes to a Markdown file beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import machine

from powqmix import config as configuration
from powqmix.cli.null_learner import Fleet, NullLearner, measure
from powqmix.cli.profile_wire import measure_wire
from powqmix.config import Config
from powqmix.process import keep_freed_memory

MANY, SLEEP_MS = 64, 10.0
WARM_UP_S = 0.3


def real_actors(config: Config, counts: list[int], envs: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Medians over `rounds` for each number of actors, on as many cores as actors where there are more, and on all.

    `times_the_first` is against the first of these in the same round.
    """
    available = sorted(os.sched_getaffinity(0))
    few = [count for count in counts if count < len(available)]
    plans = [(count, count) for count in few] + [(count, len(available)) for count in counts]
    found: dict[tuple[int, int], list[dict[str, Any]]] = {plan: [] for plan in plans}
    for _ in range(rounds):
        for count, cores in plans:
            os.sched_setaffinity(0, available[:cores])  # of this process, where the receiver is, and of its children
            try:
                with NullLearner(config, Fleet(count, envs)) as learner:
                    found[count, cores].append(measure(learner, seconds, WARM_UP_S))
            finally:
                os.sched_setaffinity(0, available)
    rows = []
    for (count, cores), measured in found.items():
        row = {
            name: statistics.median(one[name] for one in measured)
            for name in ("env_steps_per_second", "actors_cores", "receiver_cores", "pss_mb", "parameter_lag_p99")
        }
        ratios = [
            one["env_steps_per_second"] / first["env_steps_per_second"] for one, first in zip(measured, found[plans[0]])
        ]
        rows.append(
            {
                "actors": count,
                "cores": cores,
                "envs_per_actor": envs,
                "times_the_first": statistics.median(ratios),
                **row,
            }
        )
    return rows


def markdown(results: dict[str, Any]) -> str:
    lines = [f"`{results['command']}`, {results['machine']}, {results['date']}, commit {results['commit']}"]
    if "real" in results:
        lines += [
            "",
            "Actors and the null learner on so many cores; `times` is against the first row of that environment.",
            "",
            "| environment | actors | cores | envs each | env steps/s | times | cores of actors | of the receiver "
            "| env steps/s a core of actors | memory (PSS), MB |",
            "|---" * 10 + "|",
        ]
    for report in results.get("real", []):
        for row in report["rows"]:
            lines.append(
                f"| {report['env']} | {row['actors']} | {row['cores']} | {row['envs_per_actor']} "
                f"| {row['env_steps_per_second']:,.0f} "
                f"| {row['times_the_first']:.2f} | {row['actors_cores']:.2f} | {row['receiver_cores']:.2f} "
                f"| {row['env_steps_per_second'] / row['actors_cores']:,.0f} | {row['pss_mb']:.0f} |"
            )
    wire, many = results.get("sleeping"), results.get("many")
    if wire:
        lines += [
            "",
            f"{wire['actors']} actors that sleep {wire['sleep_ms']:g} ms a step: {wire['env_steps_per_second']:,.0f} "
            f"of {wire['possible_env_steps_per_second']:,.0f} env steps/s ({100 * wire['share_of_possible']:.1f} %), "
            f"the receiver at {wire['receiver_cores']:.3f} cores, {wire['actors_cores']:.2f} in the actors, parameter "
            f"lag {wire['parameter_lag_median']} in the median and {wire['parameter_lag_p99']} at 99 % at a version "
            f"every {wire['published_every_ms']:g} ms, {wire['lost']} lost, {wire['rejected']} refused.",
        ]
    if many:
        lines += [
            "",
            f"{many['actors']} real actors of {many['env']}, {many['envs_per_actor']} environment each: "
            f"{many['pss_mb']:,.0f} MB in all (PSS: what they share counts once).",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["skirmish/3m", "skirmish/3s5z_vs_3s6z"])
    parser.add_argument("--actors", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--envs-per-actor", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--only", choices=("real", "many"), help="a part: numbers of real actors, or many actors")
    parser.add_argument("--json", type=Path, help="write the figures here, with those of earlier parts, and a table")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the learner's process does
    results: dict[str, Any] = {}
    if arguments.json and arguments.json.exists() and arguments.only:
        results = json.loads(arguments.json.read_text(encoding="utf-8"))
    results |= {"command": " ".join(["python", *sys.argv]), **machine.describe()}
    if arguments.only != "many":
        shape = arguments.envs_per_actor, arguments.rounds, arguments.seconds
        kept = [report for report in results.get("real", []) if report["env"] not in arguments.env]
        results["real"] = kept + [
            {"env": env, "rows": real_actors(configuration.resolve(env), arguments.actors, *shape)}
            for env in arguments.env
        ]
    if arguments.only != "real":
        env = arguments.env[-1]
        config = configuration.resolve(env)
        results["sleeping"] = {"env": env, **measure_wire(config, MANY, SLEEP_MS, 4 * arguments.seconds)[0]}
        with NullLearner(config, Fleet(MANY, 1)) as learner:
            results["many"] = {"env": env, **measure(learner, arguments.seconds, WARM_UP_S)}
    print(markdown(results), end="")
    if arguments.json:
        machine.write_results(arguments.json, results, markdown(results))


if __name__ == "__main__":
    main()
