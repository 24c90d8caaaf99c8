"""The problems of benchmarks/kernels.py: inputs, our ops, and the same function in plain PyTorch.

The plain forms are written as a good user of PyTorch would write them, and as the incumbents do: gather, masked
maximum, products with bmm, and a Python loop over time for the TD(lambda) target; `vectorised` has a scan in its place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from powqmix import ops

CONSTANTS = {"td_lambda": 0.6, "recognition_tolerance": 0.05, "recognized_weight": 5.0, "other_weight": 0.0}

Form = Callable[..., tuple[Tensor, ...]]


class Sizes(NamedTuple):
    """Of a batch: B episodes, T steps, N agents, A actions."""

    batch: int
    steps: int
    agents: int
    actions: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """One function, forward and backward. A form maps `inputs` to results; gradients are of the first of them."""

    name: str
    inputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]  # of the first results
    wanted: tuple[int, ...]  # the inputs that have a gradient
    forms: dict[str, Form]  # ours, eager, vectorised
    moved_bytes: int  # what the ops must read and write once, forward and backward


def run(form: Form, problem: Problem) -> tuple[list[Tensor], list[Tensor]]:
    """Results, and gradients of the inputs that want one."""
    results = form(*problem.inputs)
    wanted = [problem.inputs[i] for i in problem.wanted]
    return list(results), list(torch.autograd.grad(results[: len(problem.gradients)], wanted, problem.gradients))


def problems(sizes: Sizes, device: torch.device, seed: int) -> list[Problem]:
    """All of them, at these sizes, with random inputs; episodes fill between a third and all of T."""
    head = [_head(sizes, device, seed, best_too=best_too) for best_too in (False, True)]
    return head + [make(sizes, embed, device, seed) for make in (_hyper_scales, _mix) for embed in (64, 32)]


# -- select_q and powqmix_head ----------------------------------------------------------------------


def _head(sizes: Sizes, device: torch.device, seed: int, *, best_too: bool) -> Problem:
    """`best_too`: gradients flow into q_max as well, as QPLEX needs; POWQMIX takes it as a constant."""
    batch, steps, agents, actions = sizes
    normal, generator = _normal(sizes, device, seed)
    taken = torch.randint(actions, (batch, steps, agents), generator=generator)
    avail = torch.rand(batch, steps, agents, actions, generator=generator) < 0.5
    avail.scatter_(-1, taken.unsqueeze(-1), True)
    lengths = torch.randint(steps // 3, steps + 1, (batch, 1), generator=generator)
    filled = (torch.arange(steps) < lengths).to(device, torch.uint8)
    inputs = (
        normal(agents, actions).requires_grad_(), avail.to(device, torch.uint8), taken.to(device),
        normal(agents).abs_().requires_grad_(), normal().requires_grad_(), normal(), normal(),
        torch.full((batch, steps), 0.99, device=device), filled,
    )  # fmt: skip
    gradients = (normal(), normal(agents), *([normal(agents)] if best_too else []))
    rows = batch * steps * agents
    per_step = 4 * (4 + 3) + 1 + 4 + 1 + 4  # values and filled in, three out; d_q_r and filled in, d_state_value out
    moved = (
        rows * actions * (4 + 1 + 4)  # agent_q, avail_actions, d_agent_q
        + rows * (8 + 4 + 4 + 8)  # actions; q_taken, q_max, greedy
        + rows * (4 + 8)  # scales; q_taken and q_max, which the head reads again
        + rows * (8 + 8 + 4 + (4 if best_too else 0))  # actions, greedy; d_q_taken, d_q_max
        + rows * (8 + 4)  # q_taken and q_max; d_scales
        + batch * steps * per_step
    )
    eager = functools.partial(_eager_head, _looped_target, best_too)
    vectorised = functools.partial(_eager_head, _scanned_target, best_too)
    name = "select_q + powqmix_head" + (", gradient of q_max too" if best_too else "")
    forms: dict[str, Form] = {"ours": _our_head, "eager": eager, "vectorised": vectorised}
    return Problem(name, inputs, gradients, (0, 3, 4), forms, moved)


def _our_head(
    agent_q: Tensor, avail: Tensor, actions: Tensor, scales: Tensor, state_value: Tensor, next_value: Tensor,
    reward: Tensor, discount: Tensor, filled: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    taken, best, greedy = ops.select_q(agent_q, avail, actions)
    head = ops.powqmix_head(scales, state_value, taken, best, next_value, reward, discount, filled, **CONSTANTS)
    return head.q_r, taken, best, head.joint_weight, head.target, greedy


def _eager_head(
    target: Callable[..., Tensor], best_too: bool,
    agent_q: Tensor, avail: Tensor, actions: Tensor, scales: Tensor, state_value: Tensor, next_value: Tensor,
    reward: Tensor, discount: Tensor, filled: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    taken = agent_q.gather(3, actions.unsqueeze(3)).squeeze(3)
    best, greedy = (agent_q if best_too else agent_q.detach()).masked_fill(avail == 0, -1e9).max(dim=3)
    mask = filled.float()
    advantage = (scales * (taken - best).detach()).sum(dim=2)
    q_r = (state_value + advantage) * mask
    weight = CONSTANTS["other_weight"] + (CONSTANTS["recognized_weight"] - CONSTANTS["other_weight"]) * (
        advantage.detach() >= -CONSTANTS["recognition_tolerance"]
    )
    return q_r, taken, best, weight * mask, target(next_value, reward, discount, mask), greedy


def _affine(next_value: Tensor, reward: Tensor, discount: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """offset, slope [B,T] of y_t = offset_t + slope_t y_{t+1}; the slope is 0 at each episode's last filled step."""
    goes_on = functional.pad(mask[:, 1:], (0, 1)) * CONSTANTS["td_lambda"]
    discount = discount * mask
    return reward * mask + discount * (1 - goes_on) * next_value, discount * goes_on


def _looped_target(next_value: Tensor, reward: Tensor, discount: Tensor, mask: Tensor) -> Tensor:
    offset, slope = _affine(next_value, reward, discount, mask)
    target = torch.empty_like(offset)
    later = torch.zeros_like(offset[:, 0])
    for t in reversed(range(offset.shape[1])):
        later = torch.addcmul(offset[:, t], slope[:, t], later)
        target[:, t] = later
    return target


def _scanned_target(next_value: Tensor, reward: Tensor, discount: Tensor, mask: Tensor) -> Tensor:
    """Composes steps with those 1, 2, 4, ... later: log2 T operations on the whole batch."""
    offset, slope = _affine(next_value, reward, discount, mask)
    distance, steps = 1, offset.shape[1]
    while distance < steps:
        offset = offset + slope * functional.pad(offset[:, distance:], (0, distance))
        slope = slope * functional.pad(slope[:, distance:], (0, distance))
        distance *= 2
    return offset


# -- hyper_scales and monotonic_mix -----------------------------------------------------------------


def _hyper_scales(sizes: Sizes, embed: int, device: torch.device, seed: int) -> Problem:
    normal, _ = _normal(sizes, device, seed)
    w1, w2 = normal(sizes.agents, embed).requires_grad_(), normal(embed).requires_grad_()
    d_scales = normal(sizes.agents)
    # Forward both in and the scales out; backward both and d_scales in, two gradients out.
    moved = 3 * (w1.nbytes + w2.nbytes) + 2 * d_scales.nbytes
    forms: dict[str, Form] = {"ours": lambda w1, w2: (ops.hyper_scales(w1, w2),), "eager": _eager_scales}
    return Problem(f"hyper_scales, K={embed}", (w1, w2), (d_scales,), (0, 1), forms, moved)


def _eager_scales(w1: Tensor, w2: Tensor) -> tuple[Tensor, ...]:
    return (torch.matmul(w1.abs(), w2.abs().unsqueeze(-1)).squeeze(-1),)


def _mix(sizes: Sizes, embed: int, device: torch.device, seed: int) -> Problem:
    normal, _ = _normal(sizes, device, seed)
    inputs = (normal(sizes.agents), normal(sizes.agents, embed), normal(embed), normal(embed), normal())
    inputs = tuple(t.requires_grad_() for t in inputs)
    d_q_tot = normal()
    moved = 3 * sum(t.nbytes for t in inputs[:4]) + inputs[4].nbytes + 2 * d_q_tot.nbytes
    forms: dict[str, Form] = {"ours": lambda *inputs: (ops.monotonic_mix(*inputs),), "eager": _eager_mix}
    return Problem(f"monotonic_mix, K={embed}", inputs, (d_q_tot,), (0, 1, 2, 3, 4), forms, moved)


def _eager_mix(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, ...]:
    batch, steps, agents, embed = w1.shape
    rows = batch * steps
    hidden = functional.elu(
        torch.bmm(q.view(rows, 1, agents), w1.abs().view(rows, agents, embed)) + b1.view(rows, 1, embed)
    )
    total = torch.bmm(hidden, w2.abs().view(rows, embed, 1))
    return (total.view(batch, steps) + b2,)


def _normal(sizes: Sizes, device: torch.device, seed: int) -> tuple[Callable[..., Tensor], torch.Generator]:
    """A function that gives normal values [B, T, ...], and its generator."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(sizes.batch, sizes.steps, *shape, generator=generator).to(device)

    return normal, generator


def largest_difference(got: Sequence[Tensor], wanted: Sequence[Tensor], filled: Tensor | None) -> float:
    """Between two forms' results or gradients, relative to the largest value; of filled steps only, if given."""
    worst = 0.0
    for one, other in zip(got, wanted, strict=True):
        if filled is not None:
            one, other = one[filled != 0], other[filled != 0]
        difference = (one.double() - other.double()).abs().max() / other.double().abs().max().clamp(min=1.0)
        worst = max(worst, float(difference))
    return worst
