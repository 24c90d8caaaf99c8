"""A learner's whole update on a synthetic batch: milliseconds, and how many a second.

    python benchmarks/update.py [--device cuda] [--algorithm powqmix] [--json FILE]
    python benchmarks/update.py --replay [--device cuda]

Networks, batch size and recognizer steps are the paper's; episodes last between 0.35 and all of T. On a GPU the same
update is taken kernel by kernel and as a CUDA graph. With `--replay` batches come from a ring of random episodes, of
which eight are new at every update, and the policy is published after it, as in a learner: from the host, and on a GPU
from the copy there too. `beside_update` is the share of such a loop's time that the update alone does not take. It
needs no actors and no package but torch and numpy, so that it runs on a bare GPU machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe, write_results

from powqmix.process import keep_freed_memory

if importlib.util.find_spec("yaml") is None:  # configurations are read with it; none is read here
    sys.modules["yaml"] = types.ModuleType("yaml")

from random_ring import RandomRing

from powqmix.config import Config
from powqmix.learner.batches import batches_for
from powqmix.learner.update import Update
from powqmix.types import EnvSpec, EpisodeBatch

WARM_UP = 8  # the first takes the recognizer's longer first fit, some more go before a graph is captured
NEW_EPISODES = 8  # an update: 128 of 16 times as many
BATCHES = 2  # of episodes that a ring holds

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


def with_graphs(config: Config, graphs: bool) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, cuda_graphs=graphs))


def median_ms(once: Callable[[], None], device: torch.device, seconds: float) -> tuple[float, int]:
    """Milliseconds of a call with the device's work, and of how many calls that is the median."""

    def timed() -> float:
        started = time.perf_counter()
        once()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - started)

    for _ in range(WARM_UP if device.type == "cuda" else 2):
        timed()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(timed())
    return statistics.median(times), len(times)


def row_of(spec: EnvSpec, config: Config, update: Update, ms: float, count: int, **form: Any) -> dict[str, Any]:
    if update.consecutive_skipped():
        sys.exit(f"{spec.id}: a gradient was not finite")
    sizes = {"B": config.training.batch_size, "T": spec.episode_limit, "N": spec.n_agents, "A": spec.n_actions}
    rates = {"updates": count, "ms": round(ms, 3), "per_second": round(1e3 / ms, 2)}
    return {"sizes_of": spec.id, **sizes, **form, "graphs": update.calls.captured, **rates}


def measure(spec: EnvSpec, config: Config, device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """A batch that is on the device, kernel by kernel, and on a GPU as a graph."""
    batch, rows = make_batch(spec, config.training.batch_size, device), []
    for graphs in (False, True) if device.type == "cuda" else (False,):
        update = Update(with_graphs(config, graphs), spec, device)
        ms, count = median_ms(lambda update=update: update(batch, env_steps=10**6), device, seconds)
        rows.append(row_of(spec, config, update, ms, count, form="graph" if graphs else "eager"))
    return rows


def measure_replay(spec: EnvSpec, config: Config, device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """The learner's loop over a ring of random episodes, without its actors."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="powqmix-") as folder:
        stored = RandomRing(Path(folder), spec, BATCHES * config.training.batch_size)
        for copy in ("off", "on") if device.type == "cuda" else ("off",):
            replay = dataclasses.replace(config.replay, device_copy=copy)
            settings = dataclasses.replace(config, replay=replay)
            update = Update(settings, spec, device)
            batches = batches_for(settings, stored.ring, np.random.default_rng(0), device, update.inputs)

            def once(update: Update = update, batches: Any = batches) -> None:
                update(batches.next(), env_steps=10**6, meanwhile=batches.prefetch)
                stored.insert(NEW_EPISODES)
                update.policy_vector()

            ms, count = median_ms(once, device, seconds)
            batch = batches.next()
            alone, _ = median_ms(lambda update=update, batch=batch: update(batch, env_steps=10**6), device, seconds / 2)
            beside = round(max(0.0, 1.0 - alone / ms), 3)
            form = {"replay": "device" if copy == "on" else "host", "beside_update": beside}
            rows.append(row_of(spec, config, update, ms, count, **form))
        stored.ring.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--algorithm", default="powqmix")
    parser.add_argument("--sizes-of", nargs="+", default=[s.id for s in SPECS], help="environments")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each environment's sizes")
    parser.add_argument("--replay", action="store_true", help="batches from a ring, by way of the host and on the GPU")
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
            measured = measure_replay if arguments.replay else measure
            for row in measured(spec, Config(algorithm=arguments.algorithm), device, arguments.seconds):
                rows.append(row)
                print(row, flush=True)
    if arguments.json:
        name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {arguments.threads} threads"
        command = " ".join(["python", *sys.argv])
        result = {"command": command, **describe(), "device": name, "algorithm": arguments.algorithm, "rows": rows}
        write_results(arguments.json, result)


if __name__ == "__main__":
    main()
