"""Weightings at their edges: ties, equality, the greedy joint action."""

from __future__ import annotations

import torch

from powqmix import ops
from powqmix.modules import Recognizer
from powqmix.objectives import Transitions
from powqmix.objectives.weighting import (
    CentralWeighting,
    GreedyWeighting,
    Judged,
    OptimisticWeighting,
    RecognizerWeighting,
    UniformWeighting,
    Weighting,
    weigh,
)

B, T, N, A, S = 1, 4, 2, 3, 2


def batch(actions: torch.Tensor | None = None) -> Transitions:
    actions = torch.zeros(B, T, N, dtype=torch.int64) if actions is None else actions
    return Transitions(
        obs=torch.zeros(B, T + 1, N, 1), state=torch.ones(B, T + 1, S),
        avail_actions=torch.ones(B, T + 1, N, A, dtype=torch.uint8), actions=actions,
        last_actions=torch.full((B, T + 1, N), -1), reward=torch.zeros(B, T), discount=torch.zeros(B, T),
        filled=torch.ones(B, T, dtype=torch.uint8), share=torch.full((B, T), 1 / T), filled_count=T,
    )  # fmt: skip


def judged(**changes: list[float] | list[bool]) -> Judged:
    values = {
        "is_greedy": torch.zeros(B, T, dtype=torch.bool), "taken": torch.zeros(B, T, N), "best": torch.zeros(B, T, N),
        "q_tot": torch.zeros(B, T), "target": torch.zeros(B, T), "next_value": torch.zeros(B, T),
        "greedy_value": torch.zeros(B, T),
    }  # fmt: skip
    return Judged(**{**values, **{name: torch.tensor([value]) for name, value in changes.items()}})


def weights(weighting: Weighting, seen: Judged) -> list[float]:
    result = weigh(weighting, seen)
    assert result.joint_weight.dtype == torch.float32
    assert (result.joint_weight == 5).equal(result.recognized)
    return result.joint_weight[0].tolist()


def weights_in_the_loss(weighting: Weighting, data: Transitions, seen: Judged) -> torch.Tensor:
    """w [T], read off the slopes of the loss where Q_tot is 1 above its target."""
    q_tot = (seen.target + 1).requires_grad_()
    losses = weighting.losses(data, q_tot, seen, weighted=True)
    slope = torch.autograd.grad(losses.total, q_tot)[0]
    weight = (slope / data.share)[0]
    assert losses.metrics["weight_mean"].item() == float(weight.mean())
    assert losses.metrics["recognized_share"].item() == float((weight == 5).float().mean())
    return weight


def test_the_weights_are_those_in_the_loss() -> None:
    seen = judged(is_greedy=[True, False, True, False])
    assert weights_in_the_loss(GreedyWeighting(5, 0.5), batch(), seen).tolist() == [5, 0.5, 5, 0.5]


def test_uniform_gives_all_the_same() -> None:
    assert weights(UniformWeighting(5, 0.5), judged(is_greedy=[True, False, True, False])) == [5] * T


def test_greedy_recognizes_the_greedy_joint_action_only() -> None:
    assert weights(GreedyWeighting(5, 0.5), judged(is_greedy=[True, False, True, False])) == [5, 0.5, 5, 0.5]


def test_central_recognizes_the_greedy_action_and_targets_strictly_above_its_value() -> None:
    seen = judged(
        is_greedy=[True, False, False, False], target=[-9.0, 1.0, 2.0, 3.0], greedy_value=[0.0, 2.0, 2.0, 2.0]
    )
    assert weights(CentralWeighting(5, 0.5), seen) == [5, 0.5, 0.5, 5]


def test_optimistic_recognizes_values_strictly_below_their_targets() -> None:
    seen = judged(is_greedy=[True, False, False, False], q_tot=[1.0, 1.0, 1.0, 1.0], target=[0.0, 1.0, 2.0, 0.5])
    assert weights(OptimisticWeighting(5, 0.5), seen) == [0.5, 0.5, 5, 0.5]


def test_the_recognizer_recognizes_the_greedy_action_and_ties_whatever_it_has_learned() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        weighting = RecognizerWeighting(Recognizer(N, A, S, 4, 8), 5, 0.5, td_lambda=0.6, recognition_tolerance=0.0)
        taken = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [1.0, 0.5], [-3.0, 1.0]]])
        best = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]])  # the second ties with a_hat
        seen = Judged(**{**vars(judged()), "taken": taken, "best": best})
        assert weights_in_the_loss(weighting, batch(), seen).tolist() == [5, 5, 0.5, 0.5]


def test_the_recognizer_recognizes_what_is_within_the_tolerance() -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, 4, 8)
    data = batch(torch.tensor([[[0, 0], [0, 1], [1, 2], [2, 2]]]))
    output = net(data.state[:, :-1], data.actions)
    best = torch.ones(B, T, N)
    joint_advantage = -(ops.hyper_scales(output.w1, output.w2)).sum(2)  # all advantages are -1
    tolerance = float(-joint_advantage.detach().sort().values[0, 1]) * 0.999999  # between the lowest two and the others
    weighting = RecognizerWeighting(net, 5, 0.5, td_lambda=0.6, recognition_tolerance=tolerance)
    seen = Judged(**{**vars(judged()), "taken": torch.zeros(B, T, N), "best": best})
    recognized = weights_in_the_loss(weighting, data, seen) == 5
    assert torch.equal(recognized, joint_advantage[0] >= -tolerance)
    assert recognized.sum() == 2
