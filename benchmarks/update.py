"""A learner's whole update on a synthetic batch: milliseconds, and how many a second.

    python benchmarks/update.py [--device cuda] [--algorithm powqmix] [--json FILE]

Networks, batch size and recognizer steps are the paper's; episodes last between 0.35 and all of T. It needs no actors,
no files and no package but torch and numpy, so that it runs on a bare GPU machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from machine import describe

from powqmix.process import keep_freed_memory

if importlib.util.find_spec("yaml") is None:  # configurations are read with it; none is read here
    sys.modules["yaml"] = types.ModuleType("yaml")

from powqmix.config import Config
from powqmix.learner.update import Update
from powqmix.types import EnvSpec, EpisodeBatch

SPECS = [
    EnvSpec("predator_prey", n_agents=8, n_actions=6, obs_size=75, state_size=300, episode_limit=200),
    EnvSpec("skirmish/3s5z_vs_3s6z", n_agents=8, n_actions=15, obs_size=136, state_size=230, episode_limit=170),
    EnvSpec("skirmish/27m_vs_30m", n_agents=27, n_actions=36, obs_size=285, state_size=1170, episode_limit=180),
]


def make_batch(spec: EnvSpec, batch: int, device: torch.device) -> EpisodeBatch:
    """Random episodes with half of the actions legal, on the device."""
    g = torch.Generator().manual_seed(0)
    steps, agents, actions = spec.episode_limit, spec.n_agents, spec.n_actions
    lengths = torch.randint(int(0.35 * steps), steps + 1, (batch,), generator=g)
    lengths[0] = steps
    filled = torch.arange(steps) < lengths.unsqueeze(1)
    taken = torch.randint(actions, (batch, steps, agents), generator=g) * filled.unsqueeze(2)
    avail = torch.rand(batch, steps + 1, agents, actions, generator=g) < 0.5
    avail[:, :-1].scatter_(3, taken.unsqueeze(3), True)
    avail[:, -1, :, 0] = True
    terminated = torch.arange(steps) == lengths.unsqueeze(1) - 1
    fields = (
        torch.randn(batch, steps + 1, agents, spec.obs_size, generator=g),
        torch.randn(batch, steps + 1, spec.state_size, generator=g),
        avail.to(torch.uint8), taken, torch.randn(batch, steps, generator=g) * filled, terminated.to(torch.uint8),
        filled.to(torch.uint8),
    )  # fmt: skip
    return EpisodeBatch(*(f.to(device) for f in fields), int(lengths.sum()))


def measure(spec: EnvSpec, config: Config, device: torch.device, seconds: float) -> dict[str, Any]:
    update, batch = Update(config, spec, device), make_batch(spec, config.training.batch_size, device)

    def once() -> float:
        started = time.perf_counter()
        update(batch, env_steps=10**6)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - started)

    for _ in range(2):  # the first takes the recognizer's longer first fit
        once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(once())
    if update.consecutive_skipped():
        sys.exit(f"{spec.id}: a gradient was not finite")
    ms = statistics.median(times)
    sizes = {"B": config.training.batch_size, "T": spec.episode_limit, "N": spec.n_agents, "A": spec.n_actions}
    return {"sizes_of": spec.id, **sizes, "updates": len(times), "ms": round(ms, 3), "per_second": round(1e3 / ms, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--algorithm", default="powqmix")
    parser.add_argument("--sizes-of", nargs="+", default=[s.id for s in SPECS], help="environments")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each environment's sizes")
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("update.py: no CUDA device here; use --device cpu")
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    rows = []
    for spec in SPECS:
        if spec.id in arguments.sizes_of:
            rows.append(measure(spec, Config(algorithm=arguments.algorithm), device, arguments.seconds))
            print(rows[-1], flush=True)
    if arguments.json:
        name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {arguments.threads} threads"
        command = " ".join(["python", *sys.argv])
        result = {"command": command, **describe(), "device": name, "algorithm": arguments.algorithm, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
