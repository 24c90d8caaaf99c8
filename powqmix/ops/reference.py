"""The ops' mathematics in plain PyTorch, written from the paper: the oracle that the kernels are held to.

Differentiable, in float32 or float64, on any device. Loops over time are written as loops: this is for reading and for
checking, not for speed. Equation numbers are those of arXiv 2405.08036.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PowqmixHead(NamedTuple):
    """What the head gives for each step; all 0 on unfilled steps."""

    q_r: Tensor  # [B, T] recognizer's value of the taken joint action (Eq. 5)
    joint_weight: Tensor  # [B, T] w(s, a) (Eq. 11)
    target: Tensor  # [B, T] TD(lambda) target y (Eq. 15)


class PowqmixLoss(NamedTuple):
    """The losses of a batch, and what a log should show: scalars []; means are over filled steps."""

    tot: Tensor  # L_tot = 0.5 E[w (Q_tot - y)^2] (Eq. 12)
    star: Tensor  # L_star = 0.5 E[(Q^* - y)^2] (Eq. 13)
    recognizer: Tensor  # L_r = 0.5 E[(Q_r - y)^2] (Eq. 14)
    q_tot_mean: Tensor
    target_mean: Tensor
    q_r_mean: Tensor
    recognized_share: Tensor  # of steps with Q_r(a) >= Q_r(a_hat) - C
    weight_mean: Tensor


def select_q(agent_q: Tensor, avail_actions: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """agent_q [B,T,N,A], avail_actions u8 [B,T,N,A], actions i64 [B,T,N] -> q_taken, q_max, greedy, each [B,T,N].

    q_max and greedy over legal actions only; ties go to the lowest index; a row with no legal action gives 0, 0.
    """
    legal = avail_actions.bool()
    masked = agent_q.masked_fill(~legal, -torch.inf)
    best = masked.max(dim=-1, keepdim=True).values
    index = torch.arange(agent_q.shape[-1], device=agent_q.device).expand_as(agent_q)
    any_legal = legal.any(dim=-1)
    greedy = torch.where(legal & (masked == best), index, agent_q.shape[-1]).min(dim=-1).values
    greedy = torch.where(any_legal, greedy, 0)
    q_taken = agent_q.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    q_max = agent_q.gather(-1, greedy.unsqueeze(-1)).squeeze(-1)
    return q_taken, torch.where(any_legal, q_max, torch.zeros_like(q_max)), greedy


def hyper_scales(w1: Tensor, w2: Tensor) -> Tensor:
    """w1 [B,T,N,K], w2 [B,T,K] -> scales [B,T,N] = sum_k |w1| |w2|: lambda_i of Eq. 5."""
    return (w1.abs() * w2.abs().unsqueeze(-2)).sum(dim=-1)


def td_lambda_target(
    next_value: Tensor, reward: Tensor, discount: Tensor, filled: Tensor, *, td_lambda: float
) -> Tensor:
    """All [B,T] -> y [B,T]: y_t = r_t + discount_t [(1 - L) next_value_t + L y_{t+1}], L = td_lambda (Eq. 15).

    The recursion starts at each episode's last filled step, where y = r + discount * next_value.
    """
    steps = reward.shape[1]
    mask = filled.bool()
    position = torch.arange(steps, device=reward.device)
    last = torch.where(mask, position, -1).amax(dim=1) if steps else torch.zeros(len(reward))
    targets = []
    following = torch.zeros_like(reward[:, 0]) if steps else reward.new_zeros(len(reward))
    for t in reversed(range(steps)):
        ahead = torch.where(last == t, next_value[:, t], (1 - td_lambda) * next_value[:, t] + td_lambda * following)
        following = torch.where(mask[:, t], reward[:, t] + discount[:, t] * ahead, torch.zeros_like(ahead))
        targets.append(following)
    return torch.stack(targets[::-1], dim=1) if steps else torch.zeros_like(reward)


def powqmix_head(
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    *,
    td_lambda: float,
    recognition_tolerance: float,
    recognized_weight: float,
    other_weight: float,
) -> PowqmixHead:
    """scales, q_taken, q_max [B,T,N], the rest [B,T] -> q_r, joint_weight, target, each [B,T].

    The advantages enter as constants: gradients go to scales and state_value only.
    """
    mask = filled.bool()
    advantages = torch.where(mask.unsqueeze(-1), (q_taken - q_max).detach(), 0.0)
    joint_advantage = (torch.where(mask.unsqueeze(-1), scales, 0.0) * advantages).sum(dim=-1)
    zero = torch.zeros_like(joint_advantage)
    q_r = torch.where(mask, state_value + joint_advantage, zero)  # Eq. 5
    recognized = joint_advantage.detach() >= -recognition_tolerance  # Eq. 11, with Q_r(a_hat) = V
    weight = torch.where(recognized, zero + recognized_weight, zero + other_weight)
    target = td_lambda_target(next_value, reward, discount, filled, td_lambda=td_lambda)
    return PowqmixHead(q_r, torch.where(mask, weight, zero).detach(), target.detach())


def monotonic_mix(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """q [B,T,N], w1 [B,T,N,K], b1 [B,T,K], w2 [B,T,K], b2 [B,T] -> q_tot [B,T] = ELU(q |w1| + b1) |w2| + b2."""
    hidden = torch.nn.functional.elu((q.unsqueeze(-1) * w1.abs()).sum(dim=-2) + b1)
    return (hidden * w2.abs()).sum(dim=-1) + b2


def weighted_loss(value: Tensor, target: Tensor, share: Tensor, weight: Tensor | None = None) -> Tensor:
    """All [B,T] -> 0.5 sum share weight (value - target)^2, over the steps of a share above 0."""
    counted = share != 0
    error = torch.where(counted, value - target.detach(), 0.0)
    factor = share if weight is None else torch.where(counted, share * weight, 0.0)
    return 0.5 * (factor.detach() * error.square()).sum()


def powqmix_loss(
    q_tot: Tensor,
    q_star: Tensor | None,
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    share: Tensor,
    *,
    td_lambda: float,
    recognition_tolerance: float,
    recognized_weight: float,
    other_weight: float,
) -> PowqmixLoss:
    """scales, q_taken, q_max [B,T,N], the rest [B,T] -> the three losses (Eq. 12-14), and means, each []."""
    head = powqmix_head(
        scales, state_value, q_taken, q_max, next_value, reward, discount, filled,
        td_lambda=td_lambda, recognition_tolerance=recognition_tolerance,
        recognized_weight=recognized_weight, other_weight=other_weight,
    )  # fmt: skip
    mask = filled.bool() & (share != 0)
    advantages = torch.where(mask.unsqueeze(-1), scales * (q_taken - q_max), 0.0).sum(dim=-1)
    recognized = (advantages >= -recognition_tolerance).to(head.target.dtype)

    def mean(values: Tensor) -> Tensor:
        return (torch.where(mask, share * values, 0.0)).sum().detach()

    return PowqmixLoss(
        weighted_loss(q_tot, head.target, share, head.joint_weight),
        q_tot.new_zeros(()) if q_star is None else weighted_loss(q_star, head.target, share),
        weighted_loss(head.q_r, head.target, share),
        mean(q_tot), mean(head.target), mean(head.q_r), mean(recognized), mean(head.joint_weight),
    )  # fmt: skip
