"""LICAObjective: policies that climb a critic which mixes their probabilities, with a steady push for entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from powqmix.modules import HypernetCritic, RecurrentAgent

from .objective import JointGrid, Losses, Transitions
from .policy import PolicyEvaluation, PolicyObjective, critic_loss, entropy, log_softmax, one_hot

SMALLEST_ENTROPY = 1e-6  # divides: a policy without any is not pushed harder than this


class LICAObjective(PolicyObjective):
    """L_Q = E[(Q(s, a) - y)^2], y: TD(lambda) of Q_target(s', a')  (Zhou et al., NeurIPS 2020, arXiv 2007.02529).

        L_pi = -E[Q(s, pi_1..pi_N)] - entropy_weight H / stopgrad(H),   H = E[entropy of pi_i]

    The critic is fitted at one-hot actions and climbed at probabilities: how much an agent matters comes implicitly.
    Dividing by its size makes the entropy's gradient no smaller as the entropy falls. It is on-policy.
    """

    splits = False  # H is of the whole batch

    def __init__(
        self, agent: RecurrentAgent, critic: HypernetCritic, *, seed: int, td_lambda: float, entropy_weight: float
    ) -> None:
        super().__init__(agent, critic, seed=seed, td_lambda=td_lambda)
        self.entropy_weight = entropy_weight

    def evaluate(self, batch: Transitions) -> PolicyEvaluation:
        logits = self.agent(batch.obs, batch.last_actions)
        log_policy = log_softmax(logits, batch.avail_actions)
        with torch.no_grad():
            actions = one_hot(self.next_actions(batch, log_policy), logits.shape[3])
            target = self.lambda_target(batch, self.target(batch.state[:, 1:], actions))
        return PolicyEvaluation(logits[:, :-1], log_policy[:, :-1], target)

    def critic_losses(self, batch: Transitions, evaluation: PolicyEvaluation) -> Losses:
        joint = one_hot(batch.actions, evaluation.logits.shape[3])
        return critic_loss(self.critic(batch.state[:, :-1], joint), evaluation, batch)

    def weighted_losses(self, batch: Transitions, evaluation: PolicyEvaluation, *, weighted: bool) -> Losses:
        value = self.critic(batch.state[:, :-1], evaluation.log_policy.exp())
        spread = batch.mean(entropy(evaluation.log_policy).mean(dim=2))
        push = self.entropy_weight * spread / spread.detach().clamp(min=SMALLEST_ENTROPY)
        terms = {"loss_policy": -batch.mean(value), "loss_entropy": -push}
        return Losses(terms, self.policy_metrics(batch, evaluation, value))

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        return {"q_star": self.critic(grid.state, one_hot(grid.actions, self.agent.policy.n_actions))}
