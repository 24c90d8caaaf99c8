"""What an environment step costs an actor: real actor processes that send to a learner that only counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from powqmix import envs
from powqmix.config import Config
from powqmix.types import PolicySpec

from .null_learner import Fleet, NullLearner, measure
from .output import progress
from .peaks import one_core_gmacs
from .trace import Span

WARM_UP_S = 0.3
# Stages of a step: the name that is shown, and what an actor wrote of it (actors/stages.py).
ROLLOUT_STAGES = ("policy", "simulate", "record")
LOOP_STAGES = ("send", "wait")


def measure_actors(
    config: Config, actors: int, env_counts: Sequence[int], seconds: float
) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """A row for each number of environments in a process, with `actors` processes; and a trace's tracks of the last.

    Everything is as in a run but the learner: parameters of a fresh network, the lowest epsilon, episodes over ZeroMQ.
    """
    spec = envs.spec(config.env_id, **config.env)
    shape = config.agent.policy(spec)
    rows: list[dict[str, Any]] = []
    tracks: dict[str, list[Span]] = {}
    with progress(f"measuring {len(env_counts)} sizes for {seconds:g} s each", len(env_counts)) as bar:
        for num_envs in env_counts:
            row, tracks = _row(config, Fleet(actors, num_envs), seconds)
            rows.append(row)
            bar.advance()
    peak = one_core_gmacs()
    for row in rows:
        row["policy_gmacs_per_second"] = 1e-3 * step_macs(shape) / row["us"]["policy"]
    report = {
        "actors": actors,
        "agents": spec.n_agents,
        "hidden_size": shape.hidden_size,
        "peak_gmacs_per_second": peak,
        "rows": rows,
    }
    return report, tracks


def step_macs(shape: PolicySpec) -> int:
    """Multiply-adds of an environment's agents in one step, those of zero inputs, which are skipped, included."""
    hidden = shape.hidden_size
    return shape.n_agents * hidden * (shape.input_size + 6 * hidden + shape.n_actions)


def _row(config: Config, fleet: Fleet, seconds: float) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    with NullLearner(config, fleet) as learner:
        rates = measure(learner, seconds, WARM_UP_S)
        first = learner.stages_of(0)
        receiver = learner.stages.spans
    us = {name: 1e6 * value / max(first["env_steps"], 1) for name, value in first["seconds"].items()}
    us |= {name: 1e6 * value / max(first["env_steps"], 1) for name, value in first["rollout_seconds"].items()}
    stages = {name: us[name] for name in ROLLOUT_STAGES}
    # What of the rollout's calls is in none of its stages: handing episodes to Python.
    stages["hand over"] = max(0.0, us.get("play", 0.0) - sum(stages.values()))
    stages |= {name: us.get(name, 0.0) for name in LOOP_STAGES}
    row = {
        "envs": fleet.envs_per_actor,
        "env_steps_per_second": rates["env_steps_per_second"],
        "us_per_env_step": sum(stages.values()),
        "us": stages,
        **{name: rates[name] for name in ("actors_cores", "receiver_cores", "receiver_us_per_episode")},
        **{name: rates[name] for name in ("steps_per_episode", "mb_per_second", "pss_mb")},
    }
    tracks = {
        "actor 0": [tuple(span) for span in first["spans"]],
        "actor 0, in play": [tuple(span) for span in first["rollout_spans"]],
        "receiver": receiver,
    }
    return row, tracks
