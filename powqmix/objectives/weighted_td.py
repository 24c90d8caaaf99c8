"""WeightedTDObjective: VDN, QMIX, their weighted forms, and POWQMIX, as compositions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import Mixer, Recognizer, RecurrentAgent

from .joint_value import JointValue
from .objective import Evaluation, JointGrid, Losses, Objective, Transitions
from .weighting import Judged, Weighting


@dataclass(frozen=True)
class TDEvaluation(Evaluation):
    """Joint values of a batch; those without "target" in their meaning have a gradient."""

    q_tot: Tensor  # [B, T]
    next_value: Tensor  # [B, T], target network at s', a_hat'
    greedy_value: Tensor | None  # [B, T], target network at s, a_hat


class WeightedTDObjective(Objective):
    """L_tot = E[w (Q_tot - y)^2] and, with a critic, L_star = E[(Q^* - y)^2]  (Eq. 12, 13).

    y is TD(lambda) over the target network at the online agents' greedy actions (Eq. 15): of the critic where there is
    one, else of Q_tot (double Q-learning).
    """

    def __init__(
        self,
        agent: RecurrentAgent,
        mixer: Mixer,
        weighting: Weighting,
        *,
        critic: JointValue | None,
        td_lambda: float,
    ) -> None:
        super().__init__()
        self.agent, self.mixer, self.weighting = agent, mixer, weighting
        self.critic, self.td_lambda = critic, td_lambda
        self.target = self._target_source().frozen_copy()

    def _target_source(self) -> JointValue:
        return self.critic if self.critic is not None else JointValue(self.agent, self.mixer)

    @property
    def recognizer(self) -> Recognizer | None:
        return self.weighting.recognizer

    def trained(self) -> list[nn.Module]:
        return [self.agent, self.mixer] + ([] if self.critic is None else [self.critic])

    def sync_targets(self) -> None:
        self.target.copy_from(self._target_source())

    def evaluate(self, batch: Transitions) -> TDEvaluation:
        values = self.agent_values(batch)
        q_tot = self.mixer.of_actions(values.taken, values.best, batch.state[:, :-1], batch.actions)
        with torch.no_grad():
            first = 0 if self.weighting.needs_greedy_value else 1
            greedy_values = self.target(
                batch.obs, batch.last_actions, batch.state, values.greedy, batch.avail_actions, skip=first
            )
            next_value = greedy_values[:, 1 - first :]
            target = ops.td_lambda_target(
                next_value, batch.reward, batch.discount, batch.filled, td_lambda=self.td_lambda
            )
        return TDEvaluation(values, target, q_tot, next_value, None if first else greedy_values[:, :-1])

    def steady_losses(self, batch: Transitions, evaluation: TDEvaluation) -> Losses:
        if self.critic is None:
            return Losses({})
        loss = self.critic.loss(
            batch.obs[:, :-1], batch.last_actions[:, :-1], batch.state[:, :-1], batch.actions,
            evaluation.target, batch.share,
        )  # fmt: skip
        return Losses({"loss_critic": loss})

    def weighted_losses(self, batch: Transitions, evaluation: TDEvaluation, *, weighted: bool) -> Losses:
        values, target, q_tot = evaluation.values, evaluation.target, evaluation.q_tot
        judged = Judged(
            is_greedy=values.is_greedy(batch.actions),
            taken=values.taken.detach(),
            best=values.best.detach(),
            q_tot=q_tot.detach(),
            target=target,
            next_value=evaluation.next_value,
            greedy_value=evaluation.greedy_value,
        )
        losses = self.weighting.losses(batch, q_tot, judged, weighted=weighted)
        losses.metrics["greedy_share"] = batch.mean(judged.is_greedy.to(target.dtype))
        return losses

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        best = grid.best.expand_as(grid.taken)
        values = {"q_tot": self.mixer.of_actions(grid.taken, best, grid.state, grid.actions)}
        if self.critic is not None:
            q = grid.pick(self.critic.agent(grid.obs, grid.last_actions))
            values["q_star"] = self.critic.mixer(q, grid.state)
        if self.recognizer is not None:
            scales, state_value = self.recognizer.scales(grid.state, grid.actions)
            values["q_r"] = state_value + (scales * (grid.taken - best)).sum(dim=2)
        return values
