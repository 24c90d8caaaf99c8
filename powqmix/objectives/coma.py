"""COMAObjective: policy gradients with what the agent's other actions would have been worth as the baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from powqmix.modules import CounterfactualCritic, RecurrentAgent, take

from .objective import JointGrid, Losses, Transitions
from .policy import PolicyEvaluation, PolicyObjective, critic_loss, log_softmax


class COMAObjective(PolicyObjective):
    """L_Q = E[(Q_i(s, a) - y_i)^2], y_i: TD(lambda) of Q_i_target(s', a')  (Foerster et al., arXiv 1705.08926).

        A_i  = Q_i(s, a) - sum_b pi_i(b) Q_i(s, (a_-i, b))
        L_pi = -E[A_i log pi_i(a_i)],                                   A_i a constant

    pi is what actors draw from: the softmax of the logits with `epsilon(env_steps)` spread over the legal actions.
    It is on-policy: the episodes must be of the present policy, or nearly.
    """

    def __init__(
        self,
        agent: RecurrentAgent,
        critic: CounterfactualCritic,
        *,
        seed: int,
        td_lambda: float,
        epsilon: Callable[[int], float],
    ) -> None:
        super().__init__(agent, critic, seed=seed, td_lambda=td_lambda)
        self.epsilon = epsilon

    def evaluate(self, batch: Transitions) -> PolicyEvaluation:
        logits = self.agent(batch.obs, batch.last_actions)
        log_policy = log_softmax(logits, batch.avail_actions, self.epsilon(batch.env_steps))
        with torch.no_grad():
            actions = self.next_actions(batch, log_policy)
            q = self.target(batch.obs[:, 1:], batch.state[:, 1:], actions, batch.last_actions[:, 1:])
            target = self.lambda_target(batch, take(q, actions))
        return PolicyEvaluation(logits[:, :-1], log_policy[:, :-1], target)

    def critic_losses(self, batch: Transitions, evaluation: PolicyEvaluation) -> Losses:
        return critic_loss(take(self._values(batch), batch.actions), evaluation, batch)

    def weighted_losses(self, batch: Transitions, evaluation: PolicyEvaluation, *, weighted: bool) -> Losses:
        with torch.no_grad():
            q, policy = self._values(batch), evaluation.log_policy.exp()
            baseline = (policy * q).sum(dim=3)
            advantages = take(q, batch.actions) - baseline
        gain = advantages * take(evaluation.log_policy, batch.actions)
        return Losses(
            {"loss_policy": -batch.mean(gain.mean(dim=2))},
            self.policy_metrics(batch, evaluation, baseline.mean(dim=2)),
        )

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        """The mean over agents: each has an estimate of the same value."""
        rows = grid.actions.shape[0]
        obs, before = grid.obs.expand(rows, -1, -1, -1), grid.last_actions.expand(rows, -1, -1)
        q = take(self.critic(obs, grid.state, grid.actions, before), grid.actions)
        return {"q_star": q.mean(dim=2)}

    def _values(self, batch: Transitions) -> Tensor:
        values: Tensor = self.critic(
            batch.obs[:, :-1], batch.state[:, :-1], batch.actions, batch.last_actions[:, :-1]
        )  # fmt: skip
        return values
