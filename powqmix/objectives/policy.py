"""What objectives of policies share: log-probabilities of legal actions, next actions, copies of networks, metrics."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from powqmix import ops
from powqmix.modules import GumbelNoise, RecurrentAgent, take

from .objective import Losses, Objective, Transitions

Network = TypeVar("Network", bound=nn.Module)
IMPOSSIBLE = -1e4  # log-probability of illegal actions: its exponential is 0, and products with it are finite


@dataclass(frozen=True)
class PolicyEvaluation:
    """The policy in a batch, with a gradient, and what its critic is fitted to."""

    logits: Tensor  # [B, T, N, A]
    log_policy: Tensor  # [B, T, N, A]
    target: Tensor  # y [B, T], or of each agent [B, T, N]


class PolicyObjective(Objective):
    """Agents whose outputs are logits, judged by `critic`, which is fitted to targets of its frozen copy `target`.

    The critic's loss is `critic_losses`, the policy's `weighted_losses`; no step has a weight.
    """

    capturable = False  # `draw` has a stream of its own, and epsilon and temperature follow the run's steps

    def __init__(self, agent: RecurrentAgent, critic: nn.Module, *, seed: int, td_lambda: float) -> None:
        super().__init__()
        self.agent, self.critic, self.td_lambda = agent, critic, td_lambda
        self.target = frozen_copy(critic)
        self.noise = GumbelNoise(seed)

    def trained(self) -> list[nn.Module]:
        return [self.agent]

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def sync_targets(self) -> None:
        follow(self.target, self.critic)

    def draw(self, log_policy: Tensor) -> Tensor:
        """Actions i64 [B, T, N] drawn from log_policy [B, T, N, A]."""
        noise: Tensor = self.noise(log_policy)
        return (log_policy + noise).argmax(dim=3)

    def next_actions(self, batch: Transitions, log_policy: Tensor) -> Tensor:
        """a_{t+1} i64 [B, T, N]; after an episode's last step, where none was taken, drawn from log_policy."""
        drawn = self.draw(log_policy)[:, 1:]
        goes_on = functional.pad(batch.filled[:, 1:], (0, 1)).bool().unsqueeze(2)
        return torch.where(goes_on, functional.pad(batch.actions[:, 1:], (0, 0, 0, 1)), drawn)

    def lambda_target(self, batch: Transitions, next_value: Tensor) -> Tensor:
        """TD(lambda) of next_value [B, T], or of each agent's [B, T, N]."""
        if next_value.dim() == 2:
            return ops.td_lambda_target(
                next_value, batch.reward, batch.discount, batch.filled, td_lambda=self.td_lambda
            )
        rows, agents = next_value.shape[0], next_value.shape[2]
        of_all = (field.repeat_interleave(agents, dim=0) for field in (batch.reward, batch.discount, batch.filled))
        target = ops.td_lambda_target(next_value.transpose(1, 2).flatten(0, 1), *of_all, td_lambda=self.td_lambda)
        return target.view(rows, agents, -1).transpose(1, 2)

    def policy_metrics(self, batch: Transitions, evaluation: PolicyEvaluation, value: Tensor) -> dict[str, Tensor]:
        """Entropy of the policy, what the critic says of it (value [B, T]), what it is fitted to, and how often the
        best actions were taken."""
        log_policy, target = evaluation.log_policy.detach(), evaluation.target
        best = take(log_policy, batch.actions) >= log_policy.amax(dim=3)
        return {
            "policy_entropy": batch.mean(entropy(log_policy).mean(dim=2)),
            "q_star_mean": batch.mean(value.detach()),
            "target_mean": batch.mean(target if target.dim() == 2 else target.mean(dim=2)),
            "greedy_share": batch.mean(best.all(dim=2).to(value.dtype)),
        }


def log_softmax(logits: Tensor, avail_actions: Tensor, epsilon: float = 0.0) -> Tensor:
    """log pi of logits [B, T, N, A] over legal actions, with a share `epsilon` spread evenly over them.

    Of illegal actions it is IMPOSSIBLE. In a row without legal actions, which is padding, all count as legal.
    """
    legal = avail_actions > 0
    legal = legal | ~legal.any(dim=3, keepdim=True)
    lowest = torch.finfo(logits.dtype).min
    log_policy = torch.log_softmax(logits.masked_fill(~legal, lowest), dim=3)
    if epsilon > 0.0:
        even = math.log(epsilon) - legal.sum(dim=3, keepdim=True).to(logits.dtype).log()
        kept = math.log1p(-epsilon) if epsilon < 1.0 else lowest
        log_policy = torch.logaddexp(log_policy + kept, even)
    return log_policy.masked_fill(~legal, IMPOSSIBLE)


def entropy(log_policy: Tensor) -> Tensor:
    """-sum pi log pi over actions: log_policy [B, T, N, A] -> [B, T, N]."""
    return -(log_policy.exp() * log_policy).sum(dim=3)


def one_hot(actions: Tensor, n_actions: int) -> Tensor:
    """actions i64 [B, T, N] -> f32 [B, T, N, A]."""
    return functional.one_hot(actions, n_actions).to(torch.float32)


def frozen_copy(network: Network) -> Network:
    """A copy that is never trained: a target network."""
    return copy.deepcopy(network).requires_grad_(False)


def follow(target: nn.Module, source: nn.Module, rate: float = 1.0) -> None:
    """Moves target's parameters by the share `rate` of the way to source's; 1 copies."""
    with torch.no_grad():
        if rate == 1.0:
            torch._foreach_copy_(list(target.parameters()), list(source.parameters()))
        else:
            torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)


def critic_loss(value: Tensor, evaluation: PolicyEvaluation, batch: Transitions) -> Losses:
    """0.5 (value - target)^2, the mean over filled steps and, where there is one for each, agents."""
    target, share = evaluation.target, batch.share
    if value.dim() == 3:
        share = (share.unsqueeze(2) / value.shape[2]).expand_as(value).flatten(1)
        value, target = value.flatten(1), target.flatten(1)
    return Losses({"loss_critic": ops.weighted_loss(value, target, share)})
