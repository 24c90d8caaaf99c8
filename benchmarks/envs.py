"""Environment steps a second of the native environments, observations, state and legal actions included.

    python benchmarks/envs.py
    python benchmarks/envs.py --env predator_prey --json benchmarks/results/envs_predator_prey.json
    python benchmarks/envs.py --skirmish --json benchmarks/results/envs_skirmish.json

The actions are uniformly random legal ones, drawn outside of the clock. A figure is `num_envs` divided by the wall time
of one `env.step`, auto-resets included. Several rounds are measured, the settings in turn, so that what else the
machine does falls on all alike; the table shows the median round and the best. `--clock cpu` divides by this process's
processor time instead, all threads together: what a core does on a machine that others use too.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from machine import describe, write_results  # benchmarks/machine.py

from powqmix import envs
from powqmix.envs.native import NativeEnv

# What a core should reach with 64 environments and more: goals for the maps that stand for the others.
GOALS = {
    "skirmish/3m": 300_000, "skirmish/2s3z": 180_000, "skirmish/3s5z_vs_3s6z": 150_000, "skirmish/6h_vs_8z": 90_000,
    "skirmish/MMM2": 85_000, "skirmish/corridor": 40_000, "skirmish/27m_vs_30m": 25_000, "skirmish/2c_vs_64zg": 20_000,
}  # fmt: skip


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Contestant:
    """One setting: an environment, a batch size, a number of threads."""

    def __init__(self, env_id: str, num_envs: int, num_threads: int, clock: Callable[[], float]) -> None:
        env = envs.make(env_id, num_envs, seed=1, num_threads=num_threads)
        assert isinstance(env, NativeEnv)
        self.env = env
        self.env.reset()
        self.what = {"env": env_id, "num_envs": num_envs, "num_threads": num_threads}
        self.rounds: list[float] = []
        self._step = 0
        self._clock = clock

    def play(self, seconds: float) -> None:
        """One round: environment steps a second over at least `seconds` of stepping."""
        clock, batches, spent = self._clock, 0, 0.0
        while spent < seconds:
            actions = self.env.random_actions(2, self._step)
            self._step += 1
            started = clock()
            self.env.step(actions)
            spent += clock() - started
            batches += 1
        self.rounds.append(batches * self.env.num_envs / spent)

    def result(self) -> dict[str, Any]:
        threads = self.what["num_threads"]
        assert isinstance(threads, int)
        median, best = statistics.median(self.rounds), max(self.rounds)
        return self.what | {
            "env_steps_per_second_median": round(median),
            "env_steps_per_second_best": round(best),
            "env_steps_per_second_per_thread_median": round(median / threads),
            "rounds": [round(figure) for figure in self.rounds],
        }


def goal(result: dict[str, Any]) -> str:
    """The goal of a setting's map, if it has one and the batch is large enough for it."""
    return f"{GOALS[result['env']]:,}" if result["env"] in GOALS and result["num_envs"] >= 64 else ""


def tabulate(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a setting."""
    headings = ("environment", "envs", "threads", "steps/s, median", "best", "median a thread", "goal a thread")
    rows = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
    for r in results:
        rows.append(
            f"| {r['env']} | {r['num_envs']} | {r['num_threads']} | {r['env_steps_per_second_median']:,} "
            f"| {r['env_steps_per_second_best']:,} | {r['env_steps_per_second_per_thread_median']:,} "
            f"| {goal(r)} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["predator_prey", "matrix/powqmix"], help="ids, native ones")
    parser.add_argument("--skirmish", action="store_true", help="the maps with a goal, and predator_prey")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clock", default="wall", choices=sorted(CLOCKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of stepping, a round of one setting")
    parser.add_argument("--json", type=Path, help="file for command, date, machine, commit and every round")
    arguments = parser.parse_args()

    ids = [*GOALS, "predator_prey"] if arguments.skirmish else arguments.env
    settings = itertools.product(ids, arguments.num_envs, arguments.threads)
    # A thread beyond the number of environments is not started: such a row would repeat another.
    contestants = [Contestant(*setting, CLOCKS[arguments.clock]) for setting in settings if setting[2] <= setting[1]]
    busy = os.getloadavg()[0]
    for _ in range(arguments.rounds):
        for contestant in contestants:
            contestant.play(arguments.seconds)
    results = [contestant.result() for contestant in contestants]
    print(tabulate(results))
    if arguments.json is not None:
        what = "environment steps a second; random legal actions drawn outside of the clock; features included"
        record = {
            "command": "python " + " ".join(sys.argv),
            **describe(),
            "what": what,
            "clock": arguments.clock,
            "load_average_before": round(busy, 2),  # programs that others ran on this machine meanwhile
            "results": results,
        }
        told = f"`{record['command']}`, {record['machine']}, {record['date']}, commit {record['commit']}"
        write_results(arguments.json, record, f"{told}\n\n{tabulate(results)}\n")


if __name__ == "__main__":
    main()
