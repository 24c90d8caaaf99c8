"""Random inputs for the ops, hostile where an op must not look, and comparisons with the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from powqmix import ops
from powqmix.ops import reference

SIZES = (1, 2, 3, 5, 33, 129)
HEAD = {"td_lambda": 0.6, "recognition_tolerance": 0.05, "recognized_weight": 5.0, "other_weight": 0.25}


@dataclass
class Case:
    """One op with inputs; `differentiable` and `outputs`: which inputs and which results have a gradient."""

    name: str
    op: Callable[..., Any]
    oracle: Callable[..., Any]
    inputs: dict[str, Tensor]
    options: dict[str, Any]
    differentiable: tuple[str, ...]
    outputs: tuple[int, ...] = (0,)
    rounding: float = 1e-3  # how large the numbers are whose difference it takes, at least: they are rounded before

    def run(self, **changed: Tensor) -> tuple[Tensor, ...]:
        return as_tuple(self.op(**{**self.inputs, **changed}, **self.options))

    def expected(self, **changed: Tensor) -> tuple[Tensor, ...]:
        """The reference's results, in float64."""
        inputs = {name: double(tensor) for name, tensor in {**self.inputs, **changed}.items()}
        return as_tuple(self.oracle(**inputs, **self.options))

    def gradients(self, *, exact: bool) -> list[Tensor]:
        """Of a fixed random combination of the outputs; `exact`: of the reference, in float64."""
        leaves = {
            name: (double(self.inputs[name]) if exact else self.inputs[name]).detach().clone().requires_grad_()
            for name in self.differentiable
        }
        results = self.expected(**leaves) if exact else self.run(**leaves)
        generator = torch.Generator().manual_seed(1)
        total: Any = 0
        for index in self.outputs:
            weights = torch.randn(results[index].shape, generator=generator).to(results[index])
            total = total + (results[index] * weights).sum()
        return list(torch.autograd.grad(total, list(leaves.values())))


def as_tuple(result: Any) -> tuple[Tensor, ...]:
    return tuple(result) if isinstance(result, tuple) else (result,)


def double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def filled_mask(batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Episodes of random lengths, some empty, some full."""
    lengths = torch.randint(0, steps + 1, (batch,), generator=generator)
    lengths[0] = steps
    return (torch.arange(steps) < lengths.unsqueeze(1)).to(torch.uint8)


def make(name: str, batch: int, steps: int, agents: int, width: int, seed: int, *, hostile: bool = True) -> Case:
    """`width` is A or K. `hostile` fills padding with NaN and infinity where the op promises not to look."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g)

    if name == "select_q":
        avail = (torch.rand(batch, steps, agents, width, generator=g) < 0.6).to(torch.uint8)
        avail[torch.rand(batch, steps, agents, generator=g) < 0.1] = 0
        q = normal(batch, steps, agents, width)
        q = torch.where(torch.rand(q.shape, generator=g) < 0.3, q.round(), q)  # ties
        actions = torch.randint(0, width, (batch, steps, agents), generator=g)
        inputs = {"agent_q": q, "avail_actions": avail, "actions": actions}
        return Case(name, ops.select_q, reference.select_q, inputs, {}, ("agent_q",), (0, 1))
    if name == "hyper_scales":
        inputs = {"w1": normal(batch, steps, agents, width), "w2": normal(batch, steps, width)}
        return Case(name, ops.hyper_scales, reference.hyper_scales, inputs, {}, ("w1", "w2"))
    if name == "monotonic_mix":
        inputs = {
            "q": normal(batch, steps, agents), "w1": normal(batch, steps, agents, width),
            "b1": normal(batch, steps, width), "w2": normal(batch, steps, width), "b2": normal(batch, steps),
        }  # fmt: skip
        return Case(name, ops.monotonic_mix, reference.monotonic_mix, inputs, {}, ("q", "w1", "b1", "w2", "b2"))

    filled = filled_mask(batch, steps, g)
    if name == "weighted_loss":
        inputs = {
            "value": normal(batch, steps), "target": normal(batch, steps), "share": filled / filled.sum(),
            "weight": torch.rand(batch, steps, generator=g) * 5,
        }  # fmt: skip
        if hostile:
            for field, poison in (("value", torch.nan), ("target", torch.inf), ("weight", torch.nan)):
                inputs[field][filled == 0] = poison
        return Case(name, ops.weighted_loss, reference.weighted_loss, inputs, {}, ("value",), rounding=1.0)
    terminated = torch.rand(batch, steps, generator=g) < 0.2
    inputs = {
        "next_value": normal(batch, steps) * 10, "reward": normal(batch, steps),
        "discount": torch.where(terminated, 0.0, 0.99), "filled": filled,
    }  # fmt: skip
    if name == "td_lambda_target":
        case = Case(name, ops.td_lambda_target, reference.td_lambda_target, inputs, {"td_lambda": 0.6}, ())
    else:
        q_max = normal(batch, steps, agents)
        below = torch.rand(batch, steps, agents, generator=g) * 0.2
        below[torch.rand(below.shape, generator=g) < 0.5] = 0.0
        inputs |= {
            "scales": torch.rand(batch, steps, agents, generator=g), "state_value": normal(batch, steps),
            "q_taken": q_max - below, "q_max": q_max,
        }  # fmt: skip
        case = Case(name, ops.powqmix_head, reference.powqmix_head, inputs, HEAD, ("scales", "state_value"))
    if name == "powqmix_loss":
        inputs |= {"q_tot": normal(batch, steps), "q_star": normal(batch, steps), "share": filled / filled.sum()}
        learn = ("q_tot", "q_star", "scales", "state_value")
        case = Case(name, ops.powqmix_loss, reference.powqmix_loss, inputs, HEAD, learn, (0, 1, 2), rounding=1.0)
    if hostile:
        padding = filled == 0
        for field, poison in (("reward", torch.nan), ("next_value", torch.inf), ("discount", torch.nan)):
            inputs[field][padding] = poison
        for field in ("q_taken", "q_max", "state_value", "scales", "q_tot", "q_star"):
            if field in inputs:
                inputs[field][padding] = torch.nan
    return case


DIFFERENTIABLE = ("select_q", "hyper_scales", "powqmix_head", "monotonic_mix", "weighted_loss", "powqmix_loss")
NAMES = (*DIFFERENTIABLE, "td_lambda_target")
