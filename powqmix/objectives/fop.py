"""FOPObjective: soft policies of agents whose soft values factorize that of the joint policy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from powqmix.modules import RecurrentAgent, SoftFactorization, take

from .objective import JointGrid, Losses, Transitions
from .policy import PolicyEvaluation, PolicyObjective, critic_loss, log_softmax


class FOPObjective(PolicyObjective):
    """L_Q = E[(Q(s, a) - y)^2] for each of two factorizations  (Zhang et al., "FOP", ICML 2021; as in [fop]).

        y    = TD(lambda) of min Q_target(s', a') - discount alpha mean_i log pi_i(a'_i),     a' drawn from pi
        L_pi = E[sum_b pi_i(b) (alpha log pi_i(b) - min Q_i(o_i, b))],                        Q_i a constant

    Each min is over the two. pi is what actors draw from, `epsilon(env_steps)` included; alpha is
    `temperature(env_steps)`. The published code adds the entropy once, outside the recursion of TD(lambda), and so does
    this; there it is not discounted, and also added after the end.
    """

    def __init__(
        self,
        agent: RecurrentAgent,
        first: SoftFactorization,
        second: SoftFactorization,
        *,
        seed: int,
        td_lambda: float,
        epsilon: Callable[[int], float],
        temperature: Callable[[int], float],
    ) -> None:
        super().__init__(agent, nn.ModuleList([first, second]), seed=seed, td_lambda=td_lambda)
        self.epsilon, self.temperature = epsilon, temperature

    def evaluate(self, batch: Transitions) -> PolicyEvaluation:
        logits = self.agent(batch.obs, batch.last_actions)
        log_policy = log_softmax(logits, batch.avail_actions, self.epsilon(batch.env_steps))
        with torch.no_grad():
            drawn = self.draw(log_policy)[:, 1:]
            next_value = torch.minimum(*self._joint(self.target, batch, drawn, after=True))
            surprise = take(log_policy[:, 1:], drawn).mean(dim=2)
            target = self.lambda_target(batch, next_value)
            target = target - batch.discount * self.temperature(batch.env_steps) * surprise
        return PolicyEvaluation(logits[:, :-1], log_policy[:, :-1], target)

    def critic_losses(self, batch: Transitions, evaluation: PolicyEvaluation) -> Losses:
        first, second = self._joint(self.critic, batch, batch.actions)
        terms = [critic_loss(value, evaluation, batch).terms["loss_critic"] for value in (first, second)]
        return Losses({"loss_critic": terms[0], "loss_critic_2": terms[1]})

    def weighted_losses(self, batch: Transitions, evaluation: PolicyEvaluation, *, weighted: bool) -> Losses:
        log_policy, alpha = evaluation.log_policy, self.temperature(batch.env_steps)
        with torch.no_grad():
            q = torch.minimum(*(net(batch.obs[:, :-1]) for net in self._pair(self.critic)))
            value = torch.minimum(*self._joint(self.critic, batch, batch.actions))
        loss = (log_policy.exp() * (alpha * log_policy - q)).sum(dim=3).mean(dim=2)
        return Losses({"loss_policy": batch.mean(loss)}, self.policy_metrics(batch, evaluation, value))

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        """At the temperature that the schedule ends with, and with all actions legal."""
        alpha = self.temperature(2**62)
        values = []
        for net in self._pair(self.critic):
            q = net(grid.obs)
            soft = alpha * torch.logsumexp(q / alpha, dim=3)
            values.append(net.joint(grid.pick(q), soft.expand_as(grid.taken), grid.state, grid.actions))
        return {"q_star": torch.minimum(*values)}

    def _joint(
        self, networks: nn.Module, batch: Transitions, actions: Tensor, *, after: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Q(s, actions) [B, T] by each of the two, in the states before the steps or `after` them."""
        steps = slice(1, None) if after else slice(None, -1)
        alpha, legal = self.temperature(batch.env_steps), batch.avail_actions[:, steps] > 0
        values = []
        for net in self._pair(networks):
            q = net(batch.obs[:, steps])
            soft = alpha * torch.logsumexp(q.detach().masked_fill(~legal, -torch.inf) / alpha, dim=3)
            soft = torch.where(legal.any(dim=3), soft, 0.0)  # padding has no legal action
            values.append(net.joint(take(q, actions), soft, batch.state[:, steps], actions))
        return values[0], values[1]

    @staticmethod
    def _pair(networks: nn.Module) -> list[SoftFactorization]:
        return [net for net in networks.children() if isinstance(net, SoftFactorization)]
