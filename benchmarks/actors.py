"""How fast an actor is: the policy's step, the encoding of episodes, whole rollouts, and the memory of the process.

    python benchmarks/actors.py [--env predator_prey] [--out benchmarks/results/actors.json]

Every figure is the best of many short runs on one thread, since other load on the machine only ever adds time. Beside
them stands what this core can do at best right now: multiply-adds in float32 by numpy's matrix product on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import powqmix._C as _C

from powqmix import envs
from powqmix.actors.rollout import Rollout, episode_layout, policy_shape
from powqmix.types import PolicySpec, episode_schema


def best_s(body: Callable[[], Any], budget_s: float = 1.0) -> float:
    """Shortest time of one call within the budget."""
    best, end = float("inf"), time.perf_counter() + budget_s
    while time.perf_counter() < end:
        start = time.perf_counter()
        body()
        best = min(best, time.perf_counter() - start)
    return best


PEAK_PROBE = """
import time, numpy
a = numpy.ones((192, 192), numpy.float32)
best, end = 1.0, time.perf_counter() + 1
while time.perf_counter() < end:
    start = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - start)
print(192**3 / best / 1e9)
"""


def peak_gmacs() -> float:
    """Multiply-adds a second (10^9) of one thread in a matrix product that fits in the caches."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    probe = [sys.executable, "-c", PEAK_PROBE]
    done = subprocess.run(probe, check=True, capture_output=True, text=True, env=os.environ | one_thread)
    return float(done.stdout)


def parameters(spec: PolicySpec) -> Any:
    bound = 1 / np.sqrt(spec.hidden_size)  # torch's default for these layers
    return np.random.default_rng(0).uniform(-bound, bound, spec.parameter_count).astype(np.float32)


def policy_step(num_envs: int, spec: PolicySpec, isa: str, density: float) -> dict[str, Any]:
    """One act() of `num_envs` environments at observations of which `density` differs from zero."""
    rng = np.random.default_rng(1)
    policy = _C.Policy(policy_shape(spec), num_envs=num_envs, seed=0, isa=isa)
    policy.set_parameters(parameters(spec), 1)
    for env in range(num_envs):
        policy.begin(env, 0.05)
    obs = rng.standard_normal((num_envs, spec.n_agents, spec.obs_size)).astype(np.float32)
    obs *= rng.random(obs.shape) < density
    avail = np.ones((num_envs, spec.n_agents, spec.n_actions), np.uint8)
    seconds = best_s(lambda: policy.act(obs, avail))
    return {
        "instruction_set": policy.isa, "envs": num_envs, "agents": spec.n_agents, "actions": spec.n_actions,
        "obs_size": spec.obs_size, "obs_density": density, "hidden": spec.hidden_size,
        "us_per_step": round(seconds * 1e6, 2), "env_steps_per_second": round(num_envs / seconds),
    }  # fmt: skip


def rollout(env_id: str, num_envs: int, hidden: int, dtype: str = "float16") -> dict[str, Any]:
    """Whole rollouts (act, record, simulate) without a learner, in slices of about 5 ms."""
    env = envs.make(env_id, num_envs=num_envs, seed=0)
    spec = PolicySpec(env.spec.n_agents, env.spec.n_actions, env.spec.obs_size, hidden, True, False)
    player = Rollout(env, spec, episode_schema(env.spec, dtype), 0)
    player.set_parameters(parameters(spec), 0)
    player.advance(0.05)
    rate, end = 0.0, time.perf_counter() + 2.0
    until = max(1, 500 // num_envs)
    while time.perf_counter() < end:
        steps, start = player.env_steps, time.perf_counter()
        player.advance(0.05, until)
        rate = max(rate, (player.env_steps - steps) / (time.perf_counter() - start))
    return {"env": env_id, "envs": num_envs, "hidden": hidden, "dtype": dtype, "env_steps_per_second": round(rate)}


def simulation(env_id: str, num_envs: int) -> dict[str, Any]:
    """The environment alone, with one set of legal actions a step."""
    env: Any = envs.make(env_id, num_envs=num_envs, seed=0)
    env.reset()

    def step() -> None:
        env.step(np.ascontiguousarray(env.avail_actions.argmax(-1).astype(np.int32)))

    choosing = best_s(lambda: np.ascontiguousarray(env.avail_actions.argmax(-1).astype(np.int32)), 0.5)
    return {"env": env_id, "envs": num_envs, "env_steps_per_second": round(num_envs / (best_s(step) - choosing))}


def encoding(env_id: str, dtype: str) -> dict[str, Any]:
    """Recording one step of one environment: what is seen and what was done."""
    env = envs.make(env_id, num_envs=1, seed=0)
    env.reset()
    recorder = _C.Recorder(episode_layout(episode_schema(env.spec, dtype)), num_envs=1)
    obs, state, avail = env.obs[0], env.state[0], env.avail_actions[0]
    actions = np.zeros(env.spec.n_agents, np.int32)

    def whole() -> None:
        recorder.begin(0, parameter_version=0, epsilon=0.0)
        for _ in range(env.spec.episode_limit):
            recorder.observe(0, obs, state, avail)
            recorder.step(0, actions, 0.0, False)

    seconds = best_s(whole) / env.spec.episode_limit
    return {"env": env_id, "dtype": dtype, "us_per_env_step_from_python": round(seconds * 1e6, 3)}


MEMORY_PROBE = """
import sys, resource
import numpy, zmq, msgspec, yaml
import powqmix._C
from powqmix import envs
from powqmix.actors.rollout import Rollout
from powqmix.types import PolicySpec, episode_schema
env = envs.make(sys.argv[1], num_envs=4, seed=0)
spec = PolicySpec(env.spec.n_agents, env.spec.n_actions, env.spec.obs_size, 64, True, False)
rollout = Rollout(env, spec, episode_schema(env.spec), 0)
rollout.set_parameters(numpy.zeros(spec.parameter_count, numpy.float32), 0)
episodes = []
while len(episodes) < 8:
    episodes += rollout.advance(1.0)
assert "torch" not in sys.modules
print(int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024)
"""


def memory(env_id: str) -> dict[str, Any]:
    """Resident memory of a process that plays 4 environments and keeps 8 finished episodes."""
    done = subprocess.run([sys.executable, "-c", MEMORY_PROBE, env_id], check=True, capture_output=True, text=True)
    return {"env": env_id, "envs": 4, "resident_mb": round(float(done.stdout), 1)}


def machine() -> dict[str, Any]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="predator_prey")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    small, large = PolicySpec(8, 6, 30, 64, True, True), PolicySpec(8, 14, 150, 256, True, True)
    results = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "peak_gmacs_per_second_one_thread": round(peak_gmacs(), 1),
        "policy": [
            *(policy_step(n, small, isa, 1.0) for isa in _C.policy_kernels() for n in (1, 64)),
            policy_step(64, small, "auto", 0.2),
            *(policy_step(n, large, "auto", 0.5) for n in (1, 64)),
        ],
        "encoding": [encoding(arguments.env, dtype) for dtype in ("float16", "float32")],
        "simulation": [simulation(arguments.env, 64)],
        "rollout": [rollout(arguments.env, n, 64) for n in (1, 4, 8, 64)],
        "memory": [memory(arguments.env)],
    }
    text = json.dumps(results, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
