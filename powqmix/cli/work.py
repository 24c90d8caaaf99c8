"""How much dense arithmetic an update holds, so that the time of its stages can stand beside the machine's peak."""

from __future__ import annotations

from torch import nn

from powqmix.config import Config
from powqmix.modules import RecurrentAgent
from powqmix.objectives.objective import Objective


def update_gflop(objective: Objective, config: Config, agents: int, episodes: int, steps: float) -> dict[str, float]:
    """10^9 float operations of each dense stage of an update on `episodes` episodes of `steps` steps in the mean.

    Every weight of a matrix counts two operations a row, and four more where it has a gradient. A recurrent agent's
    rows are all agents at all steps and once more, other networks' are the steps. One-hot inputs, which are looked up,
    count as if they were multiplied, padding does not count: the true work is close, not equal.
    """
    per_step, per_agent = episodes * steps, episodes * (steps + 1) * agents
    recognizer = objective.recognizer
    inside = set() if recognizer is None else {id(parameter) for parameter in recognizer.parameters()}
    unrolled = {
        id(parameter)
        for module in objective.modules()
        if isinstance(module, RecurrentAgent)
        for parameter in module.parameters()
    }
    forward = backward = 0.0
    for parameter in objective.parameters():
        if parameter.dim() < 2 or id(parameter) in inside:
            continue
        products = parameter.numel() * (per_agent if id(parameter) in unrolled else per_step)
        forward += 2e-9 * products
        backward += 4e-9 * products if parameter.requires_grad else 0.0
    found = {"forward": forward, "backward": backward}
    if recognizer is not None:
        # With minibatches it takes one epoch, whatever recognizer_updates says.
        passes = config.training.recognizer_updates if config.training.recognizer_minibatches == 1 else 1
        found["recognizer steps"] = 6e-9 * _weights(recognizer) * per_step * passes
    return found


def _weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() >= 2)
