"""Critics of policies against dense networks over one-hot inputs, and the noise that actions are drawn with."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from powqmix.modules import CounterfactualCritic, GumbelNoise, HypernetCritic, JointActionCritic, SoftFactorization
from powqmix.modules.policy_critics import rows_of

B, T, N, A, O, S = 3, 5, 4, 6, 7, 9  # noqa: E741


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    actions = torch.randint(0, A, (B, T, N), generator=g)
    before = torch.randint(-1, A, (B, T, N), generator=g)
    return torch.randn(B, T, N, O, generator=g), torch.randn(B, T, S, generator=g), actions, before


def one_hot(actions: Tensor) -> Tensor:
    """Zeros for -1."""
    return torch.cat([torch.eye(A), torch.zeros(1, A)])[actions]


def test_the_counterfactual_critic_is_a_dense_network_that_does_not_see_the_own_action() -> None:
    torch.manual_seed(0)
    obs, state, actions, before = inputs()
    critic = CounterfactualCritic(N, A, O, S, 16)
    found = critic(obs, state, actions, before)
    for i in range(N):
        others = one_hot(actions).clone()
        others[:, :, i] = 0.0
        name = torch.eye(N)[i].expand(B, T, N)
        x = torch.cat([state, obs[:, :, i], others.flatten(2), one_hot(before).flatten(2), name], dim=2)
        wanted = critic.out(functional.relu(critic.second(functional.relu(critic.first(x)))))
        torch.testing.assert_close(found[:, :, i], wanted, rtol=1e-4, atol=1e-5)
        changed = actions.clone()
        changed[:, :, i] = (changed[:, :, i] + 1) % A
        again = critic(obs, state, changed, before)
        torch.testing.assert_close(again[:, :, i], found[:, :, i], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(again[:, :, (i + 1) % N], found[:, :, (i + 1) % N], atol=1e-4)


def test_rows_of_actions_are_products_with_one_hot_vectors() -> None:
    _, _, _, before = inputs()
    columns = torch.randn(11, N * A, requires_grad=True)
    found = rows_of(before, columns, A)
    for i in range(N):
        wanted = one_hot(before[:, :, i]) @ columns[:, i * A : (i + 1) * A].t()
        torch.testing.assert_close(found[:, :, i], wanted)
    (gradient,) = torch.autograd.grad(found.sum(), columns)
    assert gradient.sum().item() == 11 * int((before >= 0).sum())


def test_the_hypernet_critic_is_the_formula_and_linear_in_a_pair_of_probabilities() -> None:
    torch.manual_seed(0)
    _, state, actions, _ = inputs()
    critic = HypernetCritic(N, A, S, 8, 10)
    joint = one_hot(actions)
    found = critic(state, joint)
    for b, t in ((0, 0), (2, 4)):
        s = state[b, t]
        w1 = critic.w1(s).view(N * A, 8)
        hidden = functional.relu(joint[b, t].flatten() @ w1 + critic.b1(s))
        torch.testing.assert_close(found[b, t], hidden @ critic.w2(s) + critic.b2(s)[0])
    assert critic(state, torch.rand(B, T, N, A)).shape == (B, T)


def test_the_joint_action_critic_takes_relaxed_actions() -> None:
    _, state, actions, _ = inputs()
    critic = JointActionCritic(N, A, S, 16)
    relaxed = one_hot(actions).requires_grad_(True)
    value = critic(state, relaxed)
    assert value.shape == (B, T)
    assert bool((torch.autograd.grad(value.sum(), relaxed)[0] != 0).any())


def test_soft_factorization_is_the_formula_with_positive_scales() -> None:
    torch.manual_seed(0)
    obs, state, actions, _ = inputs()
    net = SoftFactorization(N, A, O, S, hidden_size=16, embed_size=8, heads=3)
    q = net(obs)
    for i in range(N):
        x = torch.cat([obs[:, :, i], torch.eye(N)[i].expand(B, T, N)], dim=2)
        wanted = net.out(functional.relu(net.second(functional.relu(net.first(x)))))
        torch.testing.assert_close(q[:, :, i], wanted, rtol=1e-4, atol=1e-5)
    scales = net.scales(state, actions)
    assert bool((scales > 0).all())
    x = torch.cat([state, one_hot(actions).flatten(2)], dim=2)
    wanted = torch.zeros(B, T, N)
    for k in range(3):
        key = net.key(state)[:, :, k, None].abs()
        heads = [layer[:, :, k * N : (k + 1) * N].sigmoid() for layer in (net.agents(state), net.actions(x))]
        wanted = wanted + key * heads[0] * heads[1]
    torch.testing.assert_close(scales, wanted, rtol=1e-4, atol=1e-5)
    taken, soft = q.gather(3, actions.unsqueeze(3)).squeeze(3), torch.logsumexp(q, dim=3)
    joint = net.joint(taken, soft, state, actions)
    by_parts = net.value(state)[..., 0] + (soft + scales * (taken - soft)).sum(2)
    torch.testing.assert_close(joint, by_parts, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(joint.sum(), taken)
    assert bool((gradient == 1).all())  # the soft advantage is a constant


def test_noise_is_gumbel_and_its_own_stream() -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    like = torch.zeros(50, 40, 5, 20)
    noise = GumbelNoise(11)
    first, second = noise(like), noise(like)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.shape == like.shape
    assert not torch.equal(first, second)
    assert abs(first.mean().item() - 0.5772) < 5 * math.sqrt(math.pi**2 / 6 / like.numel())
    assert abs(first.var().item() - math.pi**2 / 6) < 0.05
    again = GumbelNoise(11)
    assert torch.equal(again(like), first)
    resumed = GumbelNoise(0)
    resumed.load_state_dict(again.state_dict())
    assert torch.equal(resumed(like), second)
    assert not torch.equal(GumbelNoise(12)(like), first)


def test_padding_takes_its_noise_after_that_of_all_steps() -> None:
    short, long = torch.zeros(7, 5, 3, 4), torch.zeros(7, 9, 3, 4)
    assert torch.equal(GumbelNoise(1)(short), GumbelNoise(1)(long)[:, :5])
