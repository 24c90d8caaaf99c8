"""How many CPU threads the update takes."""

from __future__ import annotations

from powqmix.config import Config
from powqmix.process import available_cores
from powqmix.types import EnvSpec

WORTH_SPLITTING = 4096  # rows of a batch: below, the matrices are too small


def threads_for(config: Config, spec: EnvSpec, busy_actors: float) -> int:
    """As configured, else the cores that `busy_actors` leave, one at least.

    Threads of an update wait for each other hundreds of times: one that has to share its core with an actor holds up
    all. Actors that wait for the learner most of the time leave theirs.
    """
    if config.threads:
        return config.threads
    rows = config.training.batch_size * (spec.episode_limit + 1) * spec.n_agents
    return max(1, available_cores() - round(busy_actors)) if rows >= WORTH_SPLITTING else 1
