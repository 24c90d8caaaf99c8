"""Weightings: w(s, a), how much each joint action counts in the regression of Q_tot."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import Recognizer

from .objective import Transitions


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
    """w(s, a), where it is `recognized_weight`, and losses to be shown: [B, T], bool [B, T], name -> []."""

    joint_weight: Tensor
    recognized: Tensor
    metrics: dict[str, Tensor]


class Weighting(nn.Module):
    """Gives recognized joint actions `recognized_weight` and the others `other_weight`."""

    needs_greedy_value = False

    def __init__(self, recognized_weight: float, other_weight: float) -> None:
        super().__init__()
        self.recognized_weight, self.other_weight = recognized_weight, other_weight
        self.recognizer: Recognizer | None = None  # a network that learns beside the objective's, if it has one

    def forward(self, batch: Transitions, judged: Judged) -> Weights:
        recognized = self.recognized(judged)
        # A scalar beside a tensor, so that the result is float32 whatever the default dtype.
        weight = torch.where(recognized, self.recognized_weight, judged.target.new_tensor(self.other_weight))
        return Weights(weight, recognized, {})

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

    def forward(self, batch: Transitions, judged: Judged) -> Weights:
        assert self.recognizer is not None
        scales, state_value = self.recognizer.scales(batch.state[:, :-1], batch.actions)
        head = ops.powqmix_head(
            scales,
            state_value,
            judged.taken,
            judged.best,
            judged.next_value,
            batch.reward,
            batch.discount,
            batch.filled,
            td_lambda=self.td_lambda,
            recognition_tolerance=self.recognition_tolerance,
            recognized_weight=self.recognized_weight,
            other_weight=self.other_weight,
        )
        # With two equal weights there is nothing to recognize, and every step counts as recognized.
        recognized = head.joint_weight == self.recognized_weight
        loss = ops.weighted_loss(head.q_r, head.target, batch.share)
        return Weights(head.joint_weight, recognized, {"loss_recognizer": loss, "q_r_mean": batch.mean(head.q_r)})


def weigh(weighting: Weighting, batch: Transitions, judged: Judged) -> Weights:
    """The weights of a batch, as constants."""
    with torch.no_grad():
        return typing.cast(Weights, weighting(batch, judged))
