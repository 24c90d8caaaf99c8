"""summary.json: the learner's own account where it could give one, the last status where it was killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from powqmix.config import Config

# What every summary has; in one of a killed learner some are None.
FIELDS = (
    "status", "env", "algorithm", "preset", "seed", "env_steps", "episodes", "updates", "wall_time_s",
    "env_steps_per_second", "updates_per_second", "test_return_mean", "test_win_rate", "episodes_sent",
    "episodes_stored", "episodes_rejected", "episodes_duplicated", "episodes_lost", "actor_restarts",
    "parameter_lag_median", "parameter_lag_p99", "bottleneck",
)  # fmt: skip


def finished_summary(learner: Mapping[str, Any], status: str, actor_restarts: int) -> dict[str, Any]:
    """Of a learner that ended in order."""
    return {"status": status, **learner, "actor_restarts": actor_restarts}


def failed_summary(
    config: Config, last_status: Mapping[str, Any], status: str, actor_restarts: int, wall_time_s: float
) -> dict[str, Any]:
    """Of a learner that did not: what it had last told."""
    known = {
        "env": config.env_id,
        "algorithm": config.algorithm,
        "preset": config.preset,
        "seed": config.seed,
        "wall_time_s": round(wall_time_s, 3),
        **last_status,
        "status": status,
        "actor_restarts": actor_restarts,
    }
    return {name: known.get(name) for name in FIELDS}
