"""ResidualObjective: ResQ, a monotonic joint value and a residual that lowers all but the greedy joint action."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from powqmix.modules import Mixer, RecurrentAgent

from .joint_value import JointValue
from .objective import JointGrid, Transitions
from .weighted_td import TDEvaluation, WeightedTDObjective
from .weighting import Weighting


class ResidualObjective(WeightedTDObjective):
    """L = E[(Q_jt - y)^2] + E[(Q^* - y)^2] with Q_jt = Q_tot + w_r Q_res and Q_res = -|FF([s; q^res_1..q^res_N])|.

    w_r is 0 at the greedy joint action and 1 elsewhere, so Q_jt <= Q_tot with equality there, and Q_tot, which alone
    decides what is greedy, need not be low where the payoff is low (Shen et al., "ResQ", NeurIPS 2022). The residual
    has agents of its own. y is that of the other algorithms with a critic [resq].
    """

    def __init__(
        self,
        agent: RecurrentAgent,
        mixer: Mixer,
        weighting: Weighting,
        *,
        critic: JointValue,
        residual: JointValue,
        td_lambda: float,
    ) -> None:
        super().__init__(agent, mixer, weighting, critic=critic, td_lambda=td_lambda)
        self.residual = residual

    def trained(self) -> list[nn.Module]:
        return [*super().trained(), self.residual]

    def evaluate(self, batch: Transitions) -> TDEvaluation:
        evaluation = super().evaluate(batch)
        value = self.residual(batch.obs[:, :-1], batch.last_actions[:, :-1], batch.state[:, :-1], batch.actions)
        is_greedy = evaluation.values.is_greedy(batch.actions)
        return dataclasses.replace(evaluation, q_tot=evaluation.q_tot + masked_residual(value, is_greedy))

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        values = super().joint_values(grid)
        residual = self.residual.mixer(grid.pick(self.residual.agent(grid.obs, grid.last_actions)), grid.state)
        return values | {"q_jt": values["q_tot"] + masked_residual(residual, grid.is_greedy)}


def masked_residual(value: Tensor, is_greedy: Tensor) -> Tensor:
    """w_r Q_res of the network's output: value [B, T], is_greedy bool [B, T] -> [B, T], at most 0, 0 where greedy."""
    return torch.where(is_greedy, 0.0, -value.abs())
