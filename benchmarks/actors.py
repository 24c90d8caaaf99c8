"""How fast an actor is: the policy's step alone, then whole actors that send to a learner that only counts.

    python benchmarks/actors.py [--seconds 3] [--json benchmarks/results/actors.json]

The policy's figures are medians of short runs on one thread, and beside them stands what this core does in numpy's
matrix product. An actor is the real process: it simulates, acts with the recurrent policy, explores with the lowest
epsilon among legal actions, records, and sends over ZeroMQ. The null learner runs the real receiver in another process
on the same cores. With --json the table goes to a Markdown file beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import powqmix._C as _C

from powqmix import config as configuration
from powqmix.actors.rollout import policy_shape
from powqmix.cli.null_learner import initial_parameters
from powqmix.cli.peaks import one_core_gmacs
from powqmix.cli.profile_actors import measure_actors
from powqmix.process import keep_freed_memory
from powqmix.types import PolicySpec

ENVS = ("predator_prey", "skirmish/3m", "skirmish/3s5z_vs_3s6z")
ENV_COUNTS = (1, 8, 32)
GOALS = {"skirmish/3m": 100_000, "skirmish/3s5z_vs_3s6z": 40_000}  # env steps/s of one actor on one core
POLICY_S = 0.5


def policy_step(num_envs: int, spec: PolicySpec, isa: str, density: float) -> dict[str, Any]:
    """One act() of `num_envs` environments at observations of which `density` differs from zero."""
    rng = np.random.default_rng(1)
    policy = _C.Policy(policy_shape(spec), num_envs=num_envs, seed=0, isa=isa)
    policy.set_parameters(initial_parameters(spec), 1)
    for env in range(num_envs):
        policy.begin(env, 0.05)
    obs = rng.standard_normal((num_envs, spec.n_agents, spec.obs_size)).astype(np.float32)
    obs *= rng.random(obs.shape) < density
    avail = np.ones((num_envs, spec.n_agents, spec.n_actions), np.uint8)
    times, end = [], time.perf_counter() + POLICY_S
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(20):
            policy.act(obs, avail)
        times.append((time.perf_counter() - start) / 20)
    median = statistics.median(times)
    return {
        "instruction_set": policy.isa, "envs": num_envs, "agents": spec.n_agents, "actions": spec.n_actions,
        "obs_size": spec.obs_size, "obs_density": density, "hidden": spec.hidden_size,
        "us_per_step": median * 1e6, "best_us_per_step": min(times) * 1e6, "env_steps_per_second": num_envs / median,
    }  # fmt: skip


def markdown(results: dict[str, Any]) -> str:
    lines = [
        f"`{results['command']}`, {results['machine']}, {results['date']}, commit {results['commit']}; "
        f"a matrix product on one core: {results['peak_gmacs_per_second']:.1f} 10^9 multiply-adds/s",
        "",
        "The policy's step, called from Python:",
        "",
        "| agents | observation | not zero | hidden | envs | code | us, median | best | env steps/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['agents']} | {row['obs_size']} | {row['obs_density']:.0%} | {row['hidden']} | {row['envs']} "
        f"| {row['instruction_set']} | {row['us_per_step']:.2f} | {row['best_us_per_step']:.2f} "
        f"| {row['env_steps_per_second']:,.0f} |"
        for row in results["policy"]
    ]
    lines += [
        "",
        "One actor process; us of an environment step by the clock, within the actor:",
        "",
        "| environment | envs | env steps/s | goal | a second of processor | "
        "policy | simulate | record | hand over | send | wait | receiver, us an episode | memory, MB |",
        "|---" * 13 + "|",
    ]
    for report in results["actors"]:
        for row in report["rows"]:
            goal = GOALS.get(report["env"])
            stages = " | ".join(f"{us:.2f}" for us in row["us"].values())
            lines.append(
                f"| {report['env']} | {row['envs']} | {row['env_steps_per_second']:,.0f} "
                f"| {'' if goal is None else f'{goal:,}'} "
                f"| {row['env_steps_per_second'] / row['actors_cores']:,.0f} | {stages} "
                f"| {row['receiver_us_per_episode']:.0f} | {row['pss_mb'] or 0:.0f} |"
            )
    lines += ["", "A second of processor: what the actor would do with a core to itself, ZeroMQ's thread included."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of an actor")
    parser.add_argument("--json", type=Path, help="write the figures here, and a table beside it")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the learner's process does
    small, large = PolicySpec(8, 6, 30, 64, True, True), PolicySpec(8, 14, 150, 256, True, True)
    results = {
        "command": " ".join(["python", *sys.argv]),
        **machine.describe(),
        "peak_gmacs_per_second": one_core_gmacs(),
        "policy": [
            *(policy_step(n, small, isa, 1.0) for isa in _C.policy_kernels() for n in (1, 64)),
            policy_step(64, small, "auto", 0.2),
            *(policy_step(n, large, "auto", 0.5) for n in (1, 64)),
        ],
        "actors": [
            {"env": env, **measure_actors(configuration.resolve(env), 1, ENV_COUNTS, arguments.seconds)[0]}
            for env in ENVS
        ],
    }
    print(markdown(results), end="")
    if arguments.json:
        machine.write_results(arguments.json, results, markdown(results))


if __name__ == "__main__":
    main()
