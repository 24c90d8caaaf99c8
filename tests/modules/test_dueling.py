"""DuplexDuelingMixer against the paper's formulas in float64, and what QPLEX promises: one argmax for all."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from powqmix.modules import DuplexDuelingMixer

B, T, N, A, S, K, E, G = 2, 3, 3, 4, 5, 2, 6, 7


def new_mixer(seed: int = 0) -> DuplexDuelingMixer:
    torch.manual_seed(seed)
    return DuplexDuelingMixer(N, A, S, hypernet_size=G, heads=K, hidden_size=E).double()


def parts(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values of all actions [B, T, N, A], state, actions and the values of the best ones."""
    g = torch.Generator().manual_seed(seed)
    q = torch.randn(B, T, N, A, generator=g, dtype=torch.float64)
    state = torch.randn(B, T, S, generator=g, dtype=torch.float64)
    actions = torch.randint(0, A, (B, T, N), generator=g)
    return q, state, actions, q.max(3).values


def chosen(q: Tensor, actions: Tensor) -> Tensor:
    return q.gather(3, actions.unsqueeze(3)).squeeze(3)


def two_layers(
    mixer: DuplexDuelingMixer, x: Tensor, first: slice, weight: Tensor, bias: Tensor, table: Tensor | None = None
) -> Tensor:
    """Linear-ReLU-Linear over x, or over [x; one-hot actions] with `table` as the weights of the latter."""
    inputs = mixer.state_in.weight[first]
    if table is not None:
        inputs = torch.cat([inputs, table.t()], 1)
    return functional.relu(x @ inputs.t() + mixer.state_in.bias[first]) @ weight + bias


def reference(mixer: DuplexDuelingMixer, q: Tensor, best: Tensor, state: Tensor, actions: Tensor) -> Tensor:
    """V_tot + sum_i lambda_i A_i of arXiv 2008.01062, head by head, with one-hot actions."""
    one_hot = functional.one_hot(actions, A).flatten(2).to(q.dtype)
    weight = two_layers(mixer, state, slice(0, G), mixer.w_out.weight.t(), mixer.w_out.bias).abs() + 1e-10
    bias = two_layers(mixer, state, slice(G, 2 * G), mixer.b_out.weight.t(), mixer.b_out.bias)
    scales = torch.zeros_like(q)
    for k in range(K):
        hidden = [slice(2 * G + (part * K + k) * E, 2 * G + (part * K + k + 1) * E) for part in range(3)]
        key = two_layers(mixer, state, hidden[0], mixer.key_out[k], mixer.key_bias[k]).abs() + 1e-10
        agents = two_layers(mixer, state, hidden[1], mixer.agents_out[k], mixer.agents_bias[k])
        table = mixer.action_in[:, k * E : (k + 1) * E]
        x = torch.cat([state, one_hot], 2)
        of_actions = two_layers(mixer, x, hidden[2], mixer.actions_out[k], mixer.actions_bias[k], table)
        scales = scales + key * agents.sigmoid() * of_actions.sigmoid()
    value = (weight * best + bias).sum(2)  # V_tot
    return value + (scales * (weight * q - weight * best)).sum(2)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_joint_value_is_the_papers(seed: int) -> None:
    mixer = new_mixer(seed)
    q, state, actions, best = parts(seed)
    taken = chosen(q, actions)
    found = mixer.of_actions(taken, best, state, actions)
    torch.testing.assert_close(found, reference(mixer, taken, best, state, actions))


def test_forward_is_the_value_of_greedy_actions() -> None:
    mixer = new_mixer()
    q, state, _, best = parts()
    torch.testing.assert_close(mixer(best, state), mixer.of_actions(best, best, state, q.argmax(3)))


def test_scales_are_above_zero_and_depend_on_state_and_actions() -> None:
    mixer = new_mixer()
    _, state, actions, _ = parts()
    scales = mixer.scales(state, actions)
    assert scales.shape == (B, T, N)
    assert bool((scales > 0).all())
    assert not torch.allclose(scales, mixer.scales(state, (actions + 1) % A))
    assert not torch.allclose(scales, mixer.scales(state + 1, actions))


@pytest.mark.parametrize("seed", range(5))
def test_the_best_joint_action_is_the_tuple_of_the_agents_best(seed: int) -> None:
    """Individual-Global-Max, over all A^N joint actions."""
    mixer = new_mixer(seed)
    q, state, _, best = parts(seed)
    joint = [torch.tensor(actions).expand(B, T, N) for actions in itertools.product(range(A), repeat=N)]
    values = torch.stack([mixer.of_actions(chosen(q, actions), best, state, actions) for actions in joint])
    winners = torch.stack(joint)[values.argmax(0), torch.arange(B)[:, None], torch.arange(T)]
    assert torch.equal(winners, q.argmax(3))


def test_values_learn_through_the_plain_sum_and_scales_through_the_advantages() -> None:
    mixer = new_mixer()
    q, state, actions, best = parts()
    taken = chosen(q, actions).requires_grad_()
    best.requires_grad_()
    value = mixer.of_actions(taken, best, state, actions).sum()
    d_taken, d_best, d_action = torch.autograd.grad(value, [taken, best, mixer.action_in], allow_unused=True)
    weight = two_layers(mixer, state, slice(0, G), mixer.w_out.weight.t(), mixer.w_out.bias).abs() + 1e-10
    torch.testing.assert_close(d_taken, weight)  # dQ_tot / dQ_i = w_i, whatever lambda is
    assert d_best is None
    assert bool((d_action != 0).any())


def test_layers_start_as_linear_layers_of_their_inputs() -> None:
    torch.manual_seed(0)
    mixer = DuplexDuelingMixer(5, 6, 10, hypernet_size=64, heads=4, hidden_size=64)
    bound = (10 + 5 * 6) ** -0.5
    reads_actions = mixer.state_in.weight[-4 * 64 :]
    for parameter in (mixer.action_in, reads_actions):
        assert 0.95 * bound < parameter.abs().max().item() <= bound
    assert mixer.state_in.weight[: -4 * 64].abs().max().item() > 0.95 * 10**-0.5
    assert 0.95 / 8 < mixer.agents_out.abs().max().item() <= 1 / 8
