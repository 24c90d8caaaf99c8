"""RecurrentAgent against the network written out step by step with one-hot inputs."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from powqmix.modules import RecurrentAgent, last_actions
from powqmix.types import PolicySpec

B, T, N, A, O, H = 3, 5, 2, 4, 6, 8  # noqa: E741


def written_out(agent: RecurrentAgent, obs: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """The agent as ALL its inputs in one vector and a GRU cell a step."""
    policy, p = agent.policy, dict(agent.named_parameters())
    hidden, out = torch.zeros(B * N, H, dtype=obs.dtype), []
    for t in range(obs.shape[1]):
        parts = [obs[:, t]]
        if policy.use_last_action:
            parts.append(functional.one_hot(last[:, t] + 1, A + 1)[..., 1:].to(obs.dtype))
        if policy.use_agent_id:
            parts.append(torch.eye(N, dtype=obs.dtype).expand(B, N, N))
        x = functional.relu(torch.cat(parts, 2).view(B * N, -1) @ p["fc_in.weight"].t() + p["fc_in.bias"])
        i_r, i_z, i_n = (x @ p["gru.weight_ih_l0"].t() + p["gru.bias_ih_l0"]).chunk(3, 1)
        h_r, h_z, h_n = (hidden @ p["gru.weight_hh_l0"].t() + p["gru.bias_hh_l0"]).chunk(3, 1)
        z = torch.sigmoid(i_z + h_z)
        hidden = (1 - z) * torch.tanh(i_n + torch.sigmoid(i_r + h_r) * h_n) + z * hidden
        out.append((hidden @ p["fc_out.weight"].t() + p["fc_out.bias"]).view(B, N, A))
    return torch.stack(out, 1)


@pytest.mark.parametrize("use_last_action", [True, False])
@pytest.mark.parametrize("use_agent_id", [True, False])
def test_the_agent_is_the_network_with_one_hot_inputs(use_last_action: bool, use_agent_id: bool) -> None:
    torch.manual_seed(0)
    agent = RecurrentAgent(PolicySpec(N, A, O, H, use_last_action, use_agent_id)).double()
    obs = torch.randn(B, T, N, O, dtype=torch.float64)
    last = last_actions(torch.randint(0, A, (B, T - 1, N)))
    q, expected = agent(obs, last), written_out(agent, obs, last)
    torch.testing.assert_close(q, expected)
    ours = torch.autograd.grad(q.sin().sum(), list(agent.parameters()))
    theirs = torch.autograd.grad(expected.sin().sum(), list(agent.parameters()))
    torch.testing.assert_close(ours, theirs)


def test_parameters_have_the_names_shapes_and_order_of_the_published_vector() -> None:
    policy = PolicySpec(N, A, O, H, True, True)
    shapes = {name: tuple(value.shape) for name, value in RecurrentAgent(policy).state_dict().items()}
    assert list(shapes.items()) == list(policy.parameter_shapes().items())


def test_nothing_was_done_before_the_first_step() -> None:
    actions = torch.tensor([[[1, 0], [2, 3]]])
    assert last_actions(actions).tolist() == [[[-1, -1], [1, 0], [2, 3]]]


def test_later_steps_do_not_change_earlier_values() -> None:
    torch.manual_seed(0)
    agent = RecurrentAgent(PolicySpec(N, A, O, H, False, True))
    obs = torch.randn(B, T, N, O)
    changed = obs.clone()
    changed[:, 3:] += 1.0
    assert torch.equal(agent(obs)[:, :3], agent(changed)[:, :3])
    assert not torch.equal(agent(obs)[:, 3:], agent(changed)[:, 3:])


def test_wrong_inputs_are_refused_by_name() -> None:
    agent = RecurrentAgent(PolicySpec(N, A, O, H, True, True))
    with pytest.raises(ValueError, match=r"obs must be \[B, T, N=2, O=6\], got shape \[3, 5, 2, 7\]"):
        agent(torch.zeros(B, T, N, O + 1), torch.zeros(B, T, N, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"last_actions must be .* got None"):
        agent(torch.zeros(B, T, N, O))
