"""What an environment step costs an actor: the whole rollout, the policy alone, the environment alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import powqmix._C as _C
from powqmix import envs
from powqmix.actors.rollout import policy_shape
from powqmix.config import Config
from powqmix.types import Array, EnvSpec, PolicySpec, episode_schema

from .output import progress
from .timing import alternate, timed
from .workload import player, policy_spec

SLICE_STEPS = 256  # environment steps in one timed slice, at least; a slice is short beside what else the machine does


def measure(config: Config, env_counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """A row for each number of environments in the process, on one thread.

    Rollout, environment and policy are timed in turns; recording is what the rollout takes beyond the other two, which
    are called from Python here, at about a microsecond a call: with one environment, recording shows too small. The
    actions are uniformly random legal ones, as in the beginning of a run.
    """
    spec = envs.spec(config.env_id, **config.env)
    shape = policy_spec(config, spec)
    rows = []
    with progress(f"measuring {len(env_counts)} sizes for {seconds:g} s each", len(env_counts)) as bar:
        for num_envs in env_counts:
            rows.append(_row(config, spec, shape, num_envs, seconds))
            bar.advance()
    return {
        "instruction_set": _policy(shape, 1).isa,
        "agents": spec.n_agents,
        "hidden_size": shape.hidden_size,
        "rows": rows,
    }


def _row(config: Config, spec: EnvSpec, shape: PolicySpec, num_envs: int, seconds: float) -> dict[str, Any]:
    steps = -(-SLICE_STEPS // num_envs)
    rollout, rollout_env = player(config, num_envs, episode_schema(spec, config.replay.dtype), _parameters(shape))
    env = envs.make(config.env_id, num_envs, config.seed, **config.env)
    try:
        bodies = {
            "rollout": timed(lambda: _advance(rollout, steps)),
            "environment": _stepper(env, steps),
            "policy": timed(_actor(env, shape, steps)),
        }
        times = alternate(bodies, seconds)
    finally:
        env.close()
        rollout_env.close()
    us = {name: 1e6 * statistics.median(values) / (steps * num_envs) for name, values in times.items()}
    recording = max(0.0, us["rollout"] - us["policy"] - us["environment"])
    return {
        "envs": num_envs,
        "env_steps_per_second": 1e6 / us["rollout"],
        "us_per_env_step": us["rollout"],
        "us": {"policy": us["policy"], "environment": us["environment"], "recording": recording},
    }


def _advance(rollout: Any, steps: int) -> None:
    """Exactly `steps` steps of all environments: `advance` comes back whenever an episode ends."""
    target = rollout.env_steps + steps * rollout.num_envs
    while rollout.env_steps < target:
        rollout.advance(1.0, (target - rollout.env_steps) // rollout.num_envs)


def _stepper(env: Any, steps: int) -> Callable[[], float]:
    """The environment's part: seconds of `steps` steps, without those of drawing the actions."""
    rng = np.random.default_rng(0)
    env.reset()

    def step() -> float:
        seconds = 0.0
        for _ in range(steps):
            drawn = rng.random(env.avail_actions.shape, np.float32) * env.avail_actions
            actions = np.ascontiguousarray(drawn.argmax(axis=-1), np.int32)
            start = time.perf_counter()
            env.step(actions)
            seconds += time.perf_counter() - start
        return seconds

    return step


def _policy(shape: PolicySpec, num_envs: int) -> Any:
    policy = _C.Policy(policy_shape(shape), num_envs=num_envs, seed=0)
    policy.set_parameters(_parameters(shape), 0)
    for env in range(num_envs):
        policy.begin(env, 1.0)
    return policy


def _parameters(shape: PolicySpec) -> Array:
    bound = shape.hidden_size**-0.5  # torch's initialisation of these layers
    return np.random.default_rng(0).uniform(-bound, bound, shape.parameter_count).astype(np.float32)


def _actor(env: Any, shape: PolicySpec, steps: int) -> Callable[[], None]:
    """The policy's part: `steps` choices on what the environments show."""
    policy = _policy(shape, env.num_envs)

    def act() -> None:
        for _ in range(steps):
            policy.act(env.obs, env.avail_actions)

    return act
