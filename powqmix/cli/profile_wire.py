"""What the wire carries: actors whose steps only sleep, more of them than there are cores, and the real receiver."""

from __future__ import annotations

from typing import Any

from powqmix.config import Config

from .null_learner import Fleet, NullLearner, measure
from .output import progress
from .trace import Span

WARM_UP_S = 1.0


def measure_wire(
    config: Config, actors: int, sleep_ms: float, seconds: float
) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """The rate of `actors` sleeping actors against what sleeping alone allows, and the tracks of a trace."""
    fleet = Fleet(actors, 1, sleep_ms)
    with (
        progress(f"starting {actors} actors, then measuring for {seconds:g} s", 1) as bar,
        NullLearner(config, fleet) as learner,
    ):
        rates = measure(learner, seconds, WARM_UP_S)
        bar.advance()
    ideal = actors * 1000 / sleep_ms
    report = {
        "sleep_ms": sleep_ms,
        "possible_env_steps_per_second": ideal,
        "share_of_possible": rates["env_steps_per_second"] / ideal,
        **rates,
    }
    return report, {"receiver": learner.stages.spans}
