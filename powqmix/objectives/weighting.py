"""Weightings: w(s, a), how much each joint action counts in the regression of Q_tot."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import Recognizer

from .objective import Losses, Transitions


@dataclass(frozen=True)
class Judged:
    """What a weighting may look at; nothing has a gradient."""

    is_greedy: Tensor  # bool [B, T], a = a_hat
    taken: Tensor  # [B, T, N]
    best: Tensor  # [B, T, N]
    q_tot: Tensor  # [B, T]
    target: Tensor  # y [B, T]
    next_value: Tensor  # target Q at s', a_hat' [B, T]
    greedy_value: Tensor | None  # target Q at s, a_hat [B, T], where `needs_greedy_value`


class Weights(NamedTuple):
    """w(s, a), and where it is `recognized_weight`: [B, T], bool [B, T]."""

    joint_weight: Tensor
    recognized: Tensor


class Weighting(nn.Module):
    """Gives recognized joint actions `recognized_weight` and the others `other_weight`."""

    needs_greedy_value = False

    def __init__(self, recognized_weight: float, other_weight: float) -> None:
        super().__init__()
        self.recognized_weight, self.other_weight = recognized_weight, other_weight
        self.recognizer: Recognizer | None = None  # a network that learns beside the objective's, if it has one

    def losses(self, batch: Transitions, q_tot: Tensor, judged: Judged, *, weighted: bool) -> Losses:
        """`loss_tot` of q_tot [B, T] with these weights, all 1 where not `weighted`; metrics show them all the same."""
        weights = weigh(self, judged)
        joint_weight = weights.joint_weight if weighted else torch.ones_like(judged.target)
        return Losses(
            {"loss_tot": ops.weighted_loss(q_tot, judged.target, batch.share, joint_weight)},
            {
                "q_tot_mean": batch.mean(judged.q_tot),
                "target_mean": batch.mean(judged.target),
                "recognized_share": batch.mean(weights.recognized.to(judged.target.dtype)),
                "weight_mean": batch.mean(joint_weight),
            },
        )

    def forward(self, judged: Judged) -> Weights:
        recognized = self.recognized(judged)
        # A tensor that is filled on the device: one made of a number would be copied to it, and waited for.
        other = torch.full_like(judged.target, self.other_weight)
        weight = other.masked_fill_(recognized, self.recognized_weight)
        return Weights(weight, recognized)

    def recognized(self, judged: Judged) -> Tensor:
        """Which steps count as recognized: bool [B, T]."""
        raise NotImplementedError


class UniformWeighting(Weighting):
    """All joint actions count alike: QMIX with recognized_weight 1, its ablation QMIX-5 with 5."""

    def recognized(self, judged: Judged) -> Tensor:
        return torch.ones_like(judged.is_greedy)


class GreedyWeighting(Weighting):
    """a = a_hat: the ablation POWQMIX-opt."""

    def recognized(self, judged: Judged) -> Tensor:
        return judged.is_greedy


class CentralWeighting(Weighting):
    """a = a_hat, or y > Q^*_target(s, a_hat): CW-QMIX [wqmix]."""

    needs_greedy_value = True

    def recognized(self, judged: Judged) -> Tensor:
        assert judged.greedy_value is not None
        return judged.is_greedy | (judged.target > judged.greedy_value)


class OptimisticWeighting(Weighting):
    """Q_tot(s, a) < y: OW-QMIX [wqmix]."""

    def recognized(self, judged: Judged) -> Tensor:
        return judged.q_tot < judged.target


class RecognizerWeighting(Weighting):
    """Q_r(s, a) >= Q_r(s, a_hat) - C: POWQMIX (Eq. 11). All advantages are 0 at a_hat, so V cancels."""

    def __init__(
        self,
        recognizer: Recognizer,
        recognized_weight: float,
        other_weight: float,
        *,
        td_lambda: float,
        recognition_tolerance: float,
    ) -> None:
        super().__init__(recognized_weight, other_weight)
        self.recognizer = recognizer
        self.td_lambda, self.recognition_tolerance = td_lambda, recognition_tolerance

    def losses(self, batch: Transitions, q_tot: Tensor, judged: Judged, *, weighted: bool) -> Losses:
        """As above, the weights and all that is shown of them in one pass with the loss."""
        assert self.recognizer is not None
        with torch.no_grad():
            scales, state_value = self.recognizer.scales(batch.state[:, :-1], batch.actions)
        found = ops.powqmix_loss(
            q_tot,
            None,  # the critic's loss is taken while the recognizer learns
            scales,
            state_value,
            judged.taken,
            judged.best,
            judged.next_value,
            batch.reward,
            batch.discount,
            batch.filled,
            batch.share,
            td_lambda=self.td_lambda,
            recognition_tolerance=self.recognition_tolerance,
            recognized_weight=self.recognized_weight if weighted else 1.0,
            other_weight=self.other_weight if weighted else 1.0,
        )
        metrics = {
            "q_tot_mean": found.q_tot_mean,
            "target_mean": found.target_mean,
            "recognized_share": found.recognized_share,
            "weight_mean": found.weight_mean,
            "loss_recognizer": found.recognizer,
            "q_r_mean": found.q_r_mean,
        }
        return Losses({"loss_tot": found.tot}, metrics)


def weigh(weighting: Weighting, judged: Judged) -> Weights:
    """The weights of a batch, as constants."""
    with torch.no_grad():
        return typing.cast(Weights, weighting(judged))
