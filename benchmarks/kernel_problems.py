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


def run(form: Form, problem: Problem) -> list[Tensor]:
    """Results, then gradients of the inputs that want one."""
    results = form(*problem.inputs)
    wanted = [problem.inputs[i] for i in problem.wanted]
    return [*results, *torch.autograd.grad(results[: len(problem.gradients)], wanted, problem.gradients)]


def makers(sizes: Sizes, device: torch.device) -> list[Callable[[int], Problem]]:
    """Makes each problem at these sizes, with random inputs out of a seed; episodes last a third of T to all of it."""
    heads = [functools.partial(_head, best_too=best_too) for best_too in (True, False)]
    mixing = [functools.partial(make, embed=embed) for make in (_hyper_scales, _mix) for embed in (64, 32)]
    return [functools.partial(make, sizes, device) for make in (*heads, _loss, *mixing)]


# -- select_q and powqmix_head ----------------------------------------------------------------------


def _head(sizes: Sizes, device: torch.device, seed: int, *, best_too: bool) -> Problem:
    """`best_too`: gradients flow into q_max as well, all that the ops offer; POWQMIX takes it as a constant."""
    batch, steps, agents, actions = sizes
    normal, generator = _normal(sizes, device, seed)
    taken = torch.randint(actions, (batch, steps, agents), generator=generator, device=device)
    avail = torch.rand(batch, steps, agents, actions, generator=generator, device=device) < 0.5
    avail.scatter_(-1, taken.unsqueeze(-1), True)
    inputs = (
        normal(agents, actions).requires_grad_(), avail.to(torch.uint8), taken,
        normal(agents).abs_().requires_grad_(), normal().requires_grad_(), normal(), normal(),
        torch.full((batch, steps), 0.99, device=device), _filled(sizes, generator),
    )  # fmt: skip
    gradients = (normal(), normal(agents), *([normal(agents)] if best_too else []))
    rows = batch * steps * agents
    per_step = 4 * (4 + 3) + 1 + 4 + 1 + 4  # values and filled in, three out; d_q_r and filled in, d_state_value out
    moved = (
        rows * actions * (4 + 1 + 4)  # agent_q, avail_actions, d_agent_q
        + rows * (8 + 4 + 4 + 8 + 4)  # actions; q_taken, q_max, greedy, and the choice that is kept for the gradient
        + rows * (4 + 8)  # scales; q_taken and q_max, which the head reads again
        + rows * (4 + 4 + (4 if best_too else 0))  # the choice; d_q_taken, d_q_max
        + rows * (8 + 4)  # q_taken and q_max; d_scales
        + batch * steps * per_step
    )
    eager = functools.partial(_eager_head, _looped_target, best_too)
    vectorised = functools.partial(_eager_head, _scanned_target, best_too)
    name = "select_q + powqmix_head" + ("" if best_too else ", q_max a constant")
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
    q_r, weight = _eager_recognition(scales, state_value, taken, best, mask)
    return q_r, taken, best, weight, target(next_value, reward, discount, mask), greedy


def _eager_recognition(
    scales: Tensor, state_value: Tensor, taken: Tensor, best: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """q_r and joint_weight, [B,T]."""
    advantage = (scales * (taken - best).detach()).sum(dim=2)
    high, low = CONSTANTS["recognized_weight"], CONSTANTS["other_weight"]
    weight = low + (high - low) * (advantage.detach() >= -CONSTANTS["recognition_tolerance"])
    return (state_value + advantage) * mask, weight * mask


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


# -- powqmix_loss -----------------------------------------------------------------------------------


def _loss(sizes: Sizes, device: torch.device, seed: int) -> Problem:
    normal, generator = _normal(sizes, device, seed)
    filled = _filled(sizes, generator)
    learnt = (normal(), normal(), normal(sizes.agents).abs_(), normal())  # q_tot, q_star, scales, state_value
    best = normal(sizes.agents)
    inputs = (
        *(t.requires_grad_() for t in learnt), best - 0.2 * normal(sizes.agents).abs_(), best, normal(), normal(),
        torch.full_like(learnt[0], 0.99).detach(), filled, filled / filled.sum(),
    )  # fmt: skip
    ones = tuple(torch.ones((), device=device) for _ in range(3))
    moved = sum(t.nbytes for t in inputs) + sum(t.nbytes for t in learnt)  # each in once, each gradient out once
    forms: dict[str, Form] = {
        "ours": lambda *inputs: tuple(ops.powqmix_loss(*inputs, **CONSTANTS)),
        "eager": functools.partial(_eager_loss, _looped_target),
        "vectorised": functools.partial(_eager_loss, _scanned_target),
    }
    return Problem("powqmix_loss", inputs, ones, (0, 1, 2, 3), forms, moved)


def _eager_loss(
    target: Callable[..., Tensor], q_tot: Tensor, q_star: Tensor, scales: Tensor, state_value: Tensor, taken: Tensor,
    best: Tensor, next_value: Tensor, reward: Tensor, discount: Tensor, filled: Tensor, share: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    mask = filled.float()
    q_r, weight = _eager_recognition(scales, state_value, taken, best, mask)
    y = target(next_value, reward, discount, mask)
    losses = (
        0.5 * (share * weight * (q_tot - y).square()).sum(),
        0.5 * (share * (q_star - y).square()).sum(),
        0.5 * (share * (q_r - y).square()).sum(),
    )
    recognized = (weight == CONSTANTS["recognized_weight"]).float()
    with torch.no_grad():
        means = [(share * values).sum() for values in (q_tot, y, q_r, recognized, weight)]
    return (*losses, *means)


# -- hyper_scales and monotonic_mix -----------------------------------------------------------------


def _hyper_scales(sizes: Sizes, device: torch.device, seed: int, *, embed: int) -> Problem:
    normal, _ = _normal(sizes, device, seed)
    w1, w2 = normal(sizes.agents, embed).requires_grad_(), normal(embed).requires_grad_()
    d_scales = normal(sizes.agents)
    # Forward both in and the scales out; backward both and d_scales in, two gradients out.
    moved = 3 * (w1.nbytes + w2.nbytes) + 2 * d_scales.nbytes
    forms: dict[str, Form] = {"ours": lambda w1, w2: (ops.hyper_scales(w1, w2),), "eager": _eager_scales}
    return Problem(f"hyper_scales, K={embed}", (w1, w2), (d_scales,), (0, 1), forms, moved)


def _eager_scales(w1: Tensor, w2: Tensor) -> tuple[Tensor, ...]:
    return ((w1.abs() * w2.abs().unsqueeze(2)).sum(dim=3),)  # on a CPU twice as fast as bmm


def _mix(sizes: Sizes, device: torch.device, seed: int, *, embed: int) -> Problem:
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


def _filled(sizes: Sizes, generator: torch.Generator) -> Tensor:
    shortest, device = max(sizes.steps // 3, 1), generator.device
    lengths = torch.randint(shortest, sizes.steps + 1, (sizes.batch, 1), generator=generator, device=device)
    return (torch.arange(sizes.steps, device=device) < lengths).to(torch.uint8)


def _normal(sizes: Sizes, device: torch.device, seed: int) -> tuple[Callable[..., Tensor], torch.Generator]:
    """A function that gives normal values [B, T, ...], and its generator."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(sizes.batch, sizes.steps, *shape, generator=generator, device=device)

    return normal, generator


@torch.no_grad()
def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The mean difference of results and gradients relative to the largest value, of the tensor where it is worst.

    The mean, because a step at the very edge of being recognized may fall to either side of it.
    """
    worst = 0.0
    for got, wanted in zip(ours, theirs, strict=True):
        scale = wanted.double().abs().max().clamp(min=1e-9)
        worst = max(worst, float((got.double() - wanted.double()).abs().mean() / scale))
    return worst
