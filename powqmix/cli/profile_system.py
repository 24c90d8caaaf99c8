"""Which side limits a run: actors, wire and learner measured alone, in the one unit that they share."""

from __future__ import annotations

import os
from typing import Any

from powqmix.config import Config

from .profile_actors import measure_actors
from .profile_learner import measure_learner
from .trace import Span

ADVICE = {
    "actors": "add --actors as far as there are cores, or --envs-per-actor; the learner waits for episodes",
    "transport": "play longer episodes or fewer actors a learner; the receiver takes all of one core",
    "learner": "more actors gain nothing: a GPU, a smaller batch or network, or a lower training.samples_per_insert",
}


def measure_system(
    config: Config, device: str, actors: int, num_envs: int, seconds: float
) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """What each side could do alone with `actors` actors, in environment steps a second, and the one that is least.

    actors: one actor's rate times the actors, as far as there are cores for them. transport: what the receiver's time
    for an episode allows one core. learner: what its updates use up at the configured samples_per_insert. On a CPU the
    three share the cores, and a run has less of each.
    """
    played, tracks = measure_actors(config, 1, (num_envs,), seconds)
    learned, learner_tracks = measure_learner(config, device, seconds)
    return {
        **limits(played["rows"][0], learned, actors, len(os.sched_getaffinity(0)), config.training.samples_per_insert),
        "envs_per_actor": num_envs,
        "device": learned["device"],
        "updates_per_second": learned["updates_per_second"],
        "batch_size": learned["batch_size"],
        "samples_per_insert": config.training.samples_per_insert,
    }, tracks | learner_tracks


def limits(
    played: dict[str, Any], learned: dict[str, Any], actors: int, cores: int, samples_per_insert: float
) -> dict[str, Any]:
    """From a row of `measure_actors` and a report of `measure_learner`: each side's rate, the least, what to change."""
    used = learned["updates_per_second"] * learned["batch_size"] / samples_per_insert * learned["steps"]
    sides = {
        "actors": played["env_steps_per_second"] * min(actors, cores),
        "transport": 1e6 / played["receiver_us_per_episode"] * played["steps_per_episode"],
        "learner": used,
    }
    bottleneck = min(sides, key=lambda side: sides[side])
    return {
        "actors": actors,
        "cores": cores,
        "env_steps_per_second": sides,
        "bottleneck": bottleneck,
        "change": ADVICE[bottleneck],
        "actors_that_suffice": max(1, -(-int(min(sides["transport"], used)) // int(played["env_steps_per_second"]))),
    }
