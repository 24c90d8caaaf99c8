"""The mask of Eq. 11 by its definition: Q_r at the joint action and at the greedy one, over every joint action."""

from __future__ import annotations

import itertools

import pytest
import torch

from powqmix import ops
from powqmix.modules import Recognizer

N, A, S = 3, 4, 5
TOLERANCE = 0.2


@torch.no_grad()
def q_r(net: Recognizer, state: torch.Tensor, joint: tuple[int, ...], q: torch.Tensor, best: torch.Tensor) -> float:
    """V(s) + sum_i lambda_i(s, a) (Q_i(a_i) - max Q_i) in float64, from the recognizer's own layers (Eq. 5)."""
    output = net(state.view(1, 1, S), torch.tensor(joint).view(1, 1, N))
    scales = (output.w1.double().abs() * output.w2.double().abs().unsqueeze(2)).sum(3).view(N)
    advantage = sum(float(scales[i]) * float(q[i, joint[i]].double() - best[i].double()) for i in range(N))
    return float(net.scales(state.view(1, 1, S), torch.tensor(joint).view(1, 1, N))[1]) + advantage


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_is_eq_11_evaluated_at_a_and_at_a_hat(seed: int) -> None:
    torch.manual_seed(seed)
    net = Recognizer(N, A, S, 8, 16)
    state, q = torch.randn(S), torch.randn(N, A)
    legal = torch.rand(N, A) < 0.7
    legal[torch.arange(N), torch.randint(A, (N,))] = True
    q[0, 1] = q[0, 0]  # a tie
    best = q.masked_fill(~legal, -torch.inf).max(1)
    greedy = tuple(best.indices.tolist())
    joint = [a for a in itertools.product(range(A), repeat=N) if all(legal[i, a[i]] for i in range(N))]
    at_greedy = q_r(net, state, greedy, q, best.values)
    margins = torch.tensor([q_r(net, state, a, q, best.values) - (at_greedy - TOLERANCE) for a in joint])
    clear = margins.abs() > 1e-5  # float32 cannot be held to the exact edge of these numbers

    rows = len(joint)
    actions = torch.tensor(joint).view(1, rows, N)
    with torch.no_grad():
        scales, value = net.scales(state.expand(1, rows, S), actions)
    taken, q_max, found = ops.select_q(
        q.expand(1, rows, N, A).contiguous(), legal.to(torch.uint8).expand(1, rows, N, A).contiguous(), actions
    )
    assert found[0, 0].tolist() == list(greedy)
    zeros = torch.zeros(1, rows)
    head = ops.powqmix_head(
        scales, value, taken, q_max, zeros, zeros, zeros, torch.ones(1, rows, dtype=torch.uint8), td_lambda=0.6,
        recognition_tolerance=TOLERANCE, recognized_weight=5.0, other_weight=0.0,
    )  # fmt: skip
    recognized = head.joint_weight[0] == 5.0
    assert torch.equal(recognized[clear], (margins >= 0)[clear])
    assert recognized[joint.index(greedy)]
    assert 0 < int(recognized.sum()) < rows
