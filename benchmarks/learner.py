"""A whole POWQMIX update against the same update written the usual way (benchmarks/incumbent_update.py).

    python benchmarks/learner.py [--env skirmish/3s5z_vs_3s6z skirmish/3m] [--threads 1 2] [--repeats 3] [--json FILE]

Ours is measured in float32 and, where the processor has instructions for it, with training.precision=bfloat16; the
usual way is float32. The batch is random, with episode lengths uniform in 0.35-1.0 of the limit. The times come from
one process with all sides in turns; peak memory from a process for each side, above what the process held before its
first update. `cpu` is the processor time of all threads, which waiting for a core leaves alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from incumbent_update import IncumbentUpdate  # benchmarks/incumbent_update.py
from machine import describe, write_results  # benchmarks/machine.py

from powqmix import config, envs
from powqmix.config import Config
from powqmix.learner.update import Update
from powqmix.process import keep_freed_memory
from powqmix.types import EnvSpec, EpisodeBatch

SHORTEST = 0.35  # of the limit
COMPARED = ("loss_tot", "loss_critic", "loss_recognizer", "grad_norm")


def resolved(env: str) -> tuple[Config, EnvSpec]:
    """The preset's configuration; the first update fits the recognizer as often as the others."""
    found = config.resolve(env, "powqmix")
    training = dataclasses.replace(found.training, recognizer_first_updates=found.training.recognizer_updates)
    return dataclasses.replace(found, training=training), envs.spec(found.env_id, **found.env)


def random_batch(spec: EnvSpec, size: int) -> EpisodeBatch:
    """Episodes in the ascending order that a replay batch has; every step has a legal action, padding is zero."""
    torch.manual_seed(0)
    limit, agents, width = spec.episode_limit, spec.n_agents, spec.n_actions
    lengths = (torch.rand(size) * (1 - SHORTEST) + SHORTEST).mul(limit).round().long().sort().values
    steps = int(lengths[-1])
    filled = (torch.arange(steps) < lengths.unsqueeze(1)).to(torch.uint8)
    seen = (torch.arange(steps + 1) <= lengths.unsqueeze(1)).float()
    avail = (torch.rand(size, steps + 1, agents, width) < 0.6).to(torch.uint8)
    avail[..., 0] = 1
    actions = torch.rand(size, steps, agents, width).mul(avail[:, :-1]).argmax(3)
    terminated = torch.zeros_like(filled)
    terminated[torch.arange(size), lengths - 1] = 1
    return EpisodeBatch(
        obs=torch.randn(size, steps + 1, agents, spec.obs_size) * seen[:, :, None, None],
        state=torch.randn(size, steps + 1, spec.state_size) * seen.unsqueeze(2),
        avail_actions=avail * seen[:, :, None, None].to(torch.uint8),
        actions=actions * filled.unsqueeze(2),
        reward=torch.rand(size, steps) * filled,
        terminated=terminated,
        filled=filled,
        filled_count=int(filled.sum()),
        lengths=tuple(lengths.tolist()),
    )


def sides(env: str) -> dict[str, Callable[[], dict[str, float]]]:
    """Name -> a call that takes one update and gives its losses."""
    cfg, spec = resolved(env)
    batch = random_batch(spec, cfg.training.batch_size)

    def ours(update: Update) -> dict[str, float]:
        update(batch, cfg.weighting.warmup_steps)
        found = update.metrics()
        return {name: found[name] for name in COMPARED}

    def build(precision: str) -> Update:
        training = dataclasses.replace(cfg.training, precision=precision)
        return Update(dataclasses.replace(cfg, training=training), spec, torch.device("cpu"))

    update = build("float32")
    incumbent = IncumbentUpdate(update)
    calls = {"float32": lambda: ours(update), "incumbent": lambda: incumbent(batch)}
    rounded = build("bfloat16")
    if rounded.precision.native:
        calls["bfloat16"] = lambda: ours(rounded)
    return calls


def peak_memory(env: str, side: str, threads: int) -> int:
    """Bytes that updates of one side add to a process, in a process of its own."""
    command = [sys.executable, __file__, "--env", env, "--threads", str(threads), "--memory-of", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak_memory(env: str, side: str) -> None:
    call = sides(env)[side]
    before = memory_of_process("VmRSS")
    for _ in range(2):
        call()
    print(memory_of_process("VmHWM") - before)


def memory_of_process(line: str) -> int:
    """Bytes by a line of /proc/self/status: VmRSS is now, VmHWM the most since the program began."""
    status = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[line].split()[0])


def measure(env: str, threads: int, repeats: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    calls = sides(env)
    first = {name: call() for name, call in calls.items()}
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            wall_before, cpu_before = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - wall_before)
            cpu[name].append(time.process_time() - cpu_before)
    return {
        "env": env,
        "threads": threads,
        "losses": first,
        "largest_difference": {name: difference(losses, first["incumbent"]) for name, losses in first.items()},
        "s": {name: statistics.median(times) for name, times in wall.items()},
        "cpu_s": {name: statistics.median(times) for name, times in cpu.items()},
        "peak_bytes": {name: peak_memory(env, name, threads) for name in calls},
    }


def difference(ours: dict[str, float], others: dict[str, float]) -> float:
    """The largest relative difference of a loss, those below 1 counting as 1."""
    return max(abs(ours[k] - others[k]) / max(1.0, abs(others[k])) for k in COMPARED)


def report_lines(row: dict[str, Any]) -> str:
    lines, usual = [], "incumbent"
    for name in (name for name in row["s"] if name != usual):
        seconds, megabytes = ([row[key][side] for side in (name, usual)] for key in ("s", "peak_bytes"))
        lines.append(
            f"{row['env']}, {row['threads']} threads, {name}: {seconds[0]:.2f} s against {seconds[1]:.2f} s, ratio "
            f"{row['s_ratio'][name]:.2f} ({row['cpu_s_ratio'][name]:.2f} by cpu time); memory "
            f"{1e-6 * megabytes[0]:.0f} MB against {1e-6 * megabytes[1]:.0f} MB; losses differ by "
            f"{row['largest_difference'][name]:.1e}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["skirmish/3s5z_vs_3s6z", "skirmish/3m"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--memory-of", choices=["float32", "bfloat16", "incumbent"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    keep_freed_memory()
    if arguments.memory_of:
        torch.set_num_threads(arguments.threads[0])
        print_peak_memory(arguments.env[0], arguments.memory_of)
        return
    results = []
    for env in arguments.env:
        for threads in arguments.threads:
            row = measure(env, threads, arguments.repeats)
            for key in ("s", "cpu_s", "peak_bytes"):
                row[f"{key}_ratio"] = {name: row[key]["incumbent"] / value for name, value in row[key].items()}
            results.append(row)
            print(report_lines(row), flush=True)
    if arguments.json:
        report = {
            **describe(), "command": " ".join(["python", *sys.argv]), "torch": torch.__version__,
            "repeats": arguments.repeats, "results": results,
        }  # fmt: skip
        write_results(arguments.json, report)


if __name__ == "__main__":
    main()
