"""QTRANObjective: QTRAN-base, an unrestricted joint value whose transformation the agents' sum is fitted to."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import RecurrentAgent, TransformedJointValue

from .objective import Evaluation, JointGrid, Losses, Objective, Transitions


@dataclass(frozen=True)
class QTRANEvaluation(Evaluation):
    """Values of a batch; `q_jt` and `state_value` have a gradient."""

    q_jt: Tensor  # [B, T], of the taken joint actions
    greedy_q_jt: Tensor  # [B, T], of the greedy joint actions
    state_value: Tensor  # [B, T]


class QTRANObjective(Objective):
    """L = L_td + opt_weight L_opt + nopt_weight L_nopt (Son et al., "QTRAN", ICML 2019, arXiv 1905.05408).

        L_td   = E[(Q_jt(a) - y)^2],  y = r + discount Q_jt^target(s', a_hat')
        L_opt  = E[(sum_i Q_i(a_hat) - Q_jt(a_hat) + V)^2],             Q_jt a constant
        L_nopt = E[min(0, sum_i Q_i(a) - Q_jt(a) + V)^2],               Q_jt a constant

    The joint value reads the agents' hidden states, through which L_td trains the agents too; the target network reads
    those of the target agents, at the online agents' greedy actions [pymarl, pymarl2]. All three carry the 0.5 that
    every squared error here has.
    """

    def __init__(
        self, agent: RecurrentAgent, joint: TransformedJointValue, *, opt_weight: float, nopt_weight: float
    ) -> None:
        super().__init__()
        self.agent, self.joint = agent, joint
        self.opt_weight, self.nopt_weight = opt_weight, nopt_weight
        self.target_agent = copy.deepcopy(agent).requires_grad_(False)
        self.target_joint = copy.deepcopy(joint).requires_grad_(False)

    def trained(self) -> list[nn.Module]:
        return [self.agent, self.joint]

    def sync_targets(self) -> None:
        with torch.no_grad():
            for target, source in ((self.target_agent, self.agent), (self.target_joint, self.joint)):
                torch._foreach_copy_(list(target.parameters()), list(source.parameters()))

    def evaluate(self, batch: Transitions) -> QTRANEvaluation:
        values = self.agent_values(batch)
        hidden, state = values.hidden[:, :-1], batch.state[:, :-1]
        with torch.no_grad():
            _, next_hidden = self.target_agent.unroll(batch.obs, batch.last_actions)
            next_value = self.target_joint(next_hidden[:, 1:], batch.state[:, 1:], values.greedy[:, 1:])
            target = batch.reward + batch.discount * next_value
            greedy_q_jt = self.joint(hidden, state, values.greedy[:, :-1])
        return QTRANEvaluation(
            values,
            target,
            q_jt=self.joint(hidden, state, batch.actions),
            greedy_q_jt=greedy_q_jt,
            state_value=self.joint.state_value(state),
        )

    def weighted_losses(self, batch: Transitions, evaluation: QTRANEvaluation, *, weighted: bool) -> Losses:
        values, value = evaluation.values, evaluation.state_value
        q_tot = values.taken.sum(dim=2)
        short = (q_tot + value - evaluation.q_jt.detach()).clamp(max=0.0)
        opt = ops.weighted_loss(values.best.sum(dim=2) + value, evaluation.greedy_q_jt, batch.share)
        terms = {
            "loss_td": ops.weighted_loss(evaluation.q_jt, evaluation.target, batch.share),
            "loss_opt": self.opt_weight * opt,
            "loss_nopt": self.nopt_weight * ops.weighted_loss(short, torch.zeros_like(short), batch.share),
        }
        metrics = {
            "q_tot_mean": batch.mean(q_tot.detach()),
            "q_jt_mean": batch.mean(evaluation.q_jt.detach()),
            "target_mean": batch.mean(evaluation.target),
            "greedy_share": batch.mean(values.is_greedy(batch.actions).to(evaluation.target.dtype)),
        }
        return Losses(terms, metrics)

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        _, hidden = self.agent.unroll(grid.obs, grid.last_actions)
        return {
            "q_tot": grid.taken.sum(dim=2),
            "q_jt": self.joint(hidden.expand(grid.actions.shape[0], -1, -1, -1), grid.state, grid.actions),
        }
