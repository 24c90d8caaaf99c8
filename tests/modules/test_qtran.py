"""TransformedJointValue against concatenated one-hot actions, in float64."""

from __future__ import annotations

import torch
from torch.nn import functional

from powqmix.modules import TransformedJointValue

B, T, N, A, S, H = 2, 3, 4, 5, 6, 7


def test_the_joint_value_reads_the_sum_of_encoded_agents() -> None:
    torch.manual_seed(0)
    net = TransformedJointValue(A, S, H, 8).double()
    hidden, state = torch.randn(B, T, N, H, dtype=torch.float64), torch.randn(B, T, S, dtype=torch.float64)
    actions = torch.randint(0, A, (B, T, N))
    x = torch.cat([hidden, functional.one_hot(actions, A).double()], 3)
    encoded = net.encoder_out(functional.relu(net.encoder_in(x))).sum(2)
    torch.testing.assert_close(net(hidden, state, actions), net.joint(torch.cat([state, encoded], 2)).squeeze(2))
    order = torch.tensor([2, 0, 3, 1])  # agents are interchangeable
    torch.testing.assert_close(net(hidden[:, :, order], state, actions[:, :, order]), net(hidden, state, actions))


def test_the_state_value_is_a_network_of_the_state() -> None:
    torch.manual_seed(0)
    net = TransformedJointValue(A, S, H, 8).double()
    state = torch.randn(B, T, S, dtype=torch.float64)
    x = state
    for layer in (0, 2):
        x = functional.relu(net.value[layer](x))
    torch.testing.assert_close(net.state_value(state), net.value[4](x).squeeze(2))
