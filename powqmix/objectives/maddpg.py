"""MADDPGObjective: policies that climb one critic of joint actions, through relaxed draws."""

from __future__ import annotations

import torch
from torch import Tensor

from powqmix import ops
from powqmix.modules import JointActionCritic, RecurrentAgent

from .objective import JointGrid, Losses, Transitions
from .policy import PolicyEvaluation, PolicyObjective, critic_loss, follow, frozen_copy, log_softmax, one_hot


class MADDPGObjective(PolicyObjective):
    """L_Q = E[(Q(s, a) - y)^2], y = r + discount Q_target(s', argmax pi_target)  (Lowe et al., arXiv 1706.02275).

        L_pi = -E[Q(s, a~_1..a~_N)] + logit_weight E[logits^2]

    a~_i is a one-hot draw from pi_i whose gradient is that of the softmax (straight-through Gumbel-softmax, temperature
    1), as for discrete actions in [epymarl]. All agents share their reward, hence one critic: its gradient in all a~_i
    is the sum of each agent's own. Targets follow by `target_rate`.
    """

    def __init__(
        self,
        agent: RecurrentAgent,
        critic: JointActionCritic,
        *,
        seed: int,
        td_lambda: float,
        logit_weight: float,
        target_rate: float,
    ) -> None:
        super().__init__(agent, critic, seed=seed, td_lambda=td_lambda)
        self.logit_weight, self.target_rate = logit_weight, target_rate
        self.target_agent = frozen_copy(agent)

    def sync_targets(self) -> None:
        follow(self.target, self.critic, self.target_rate)
        follow(self.target_agent, self.agent, self.target_rate)

    def evaluate(self, batch: Transitions) -> PolicyEvaluation:
        logits = self.agent(batch.obs[:, :-1], batch.last_actions[:, :-1])
        with torch.no_grad():
            next_logits = self.target_agent(batch.obs, batch.last_actions)
            any_actions = torch.zeros_like(batch.last_actions)
            _, _, best = ops.select_q(next_logits, batch.avail_actions, any_actions)
            next_value = self.target(batch.state[:, 1:], one_hot(best[:, 1:], logits.shape[3]))
        target = self.lambda_target(batch, next_value)
        return PolicyEvaluation(logits, log_softmax(logits, batch.avail_actions[:, :-1]), target)

    def critic_losses(self, batch: Transitions, evaluation: PolicyEvaluation) -> Losses:
        joint = one_hot(batch.actions, evaluation.logits.shape[3])
        return critic_loss(self.critic(batch.state[:, :-1], joint), evaluation, batch)

    def weighted_losses(self, batch: Transitions, evaluation: PolicyEvaluation, *, weighted: bool) -> Losses:
        soft = (evaluation.log_policy + self.noise(evaluation.log_policy)).softmax(dim=3)
        hard = one_hot(soft.argmax(dim=3), soft.shape[3])
        value = self.critic(batch.state[:, :-1], hard - soft.detach() + soft)
        squares = evaluation.logits.masked_fill(batch.avail_actions[:, :-1] == 0, 0.0).square().mean(dim=(2, 3))
        terms = {"loss_policy": -batch.mean(value), "loss_logits": self.logit_weight * batch.mean(squares)}
        return Losses(terms, self.policy_metrics(batch, evaluation, value))

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        return {"q_star": self.critic(grid.state, one_hot(grid.actions, self.agent.policy.n_actions))}
