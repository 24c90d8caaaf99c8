"""Mixers against their formulas, from separate layers as the papers draw them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from powqmix.modules import CentralMixer, MonotonicMixer, VDNMixer
from powqmix.ops import mixers

B, T, N, S, K, G = 2, 3, 4, 5, 6, 7


def test_vdn_is_the_sum() -> None:
    q = torch.randn(B, T, N)
    assert torch.equal(VDNMixer()(q, torch.zeros(B, T, S)), q.sum(2))


@pytest.fixture(params=["in one call", "layer by layer"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways that a mixer can be evaluated."""
    monkeypatch.setattr(mixers, "NATIVE_ROWS", 10**6 if request.param == "in one call" else 0)


@pytest.mark.usefixtures("path")
def test_the_monotonic_mixer_is_its_formula() -> None:
    torch.manual_seed(0)
    mixer = MonotonicMixer(N, S, K, G)
    q, state = torch.randn(B, T, N), torch.randn(B, T, S)
    weight, bias = mixer.state_in.weight, mixer.state_in.bias
    w1_in, w2_in, b2_in, b1 = (
        state @ weight[part].t() + bias[part]
        for part in (slice(0, G), slice(G, 2 * G), slice(2 * G, 2 * G + K), slice(2 * G + K, None))
    )
    w1 = mixer.w1_out(functional.relu(w1_in)).abs().view(B, T, N, K)
    w2 = mixer.w2_out(functional.relu(w2_in)).abs()
    b2 = mixer.b2_out(functional.relu(b2_in))
    hidden = functional.elu(torch.einsum("btn,btnk->btk", q, w1) + b1)
    torch.testing.assert_close(mixer(q, state), torch.einsum("btk,btk->bt", hidden, w2) + b2.squeeze(2))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), agent=st.integers(0, N - 1), rise=st.floats(0.01, 100.0))
def test_more_value_of_an_agent_never_lowers_the_joint_value(seed: int, agent: int, rise: float) -> None:
    torch.manual_seed(seed)
    mixer = MonotonicMixer(N, S, K, G)
    q, state = torch.randn(B, T, N), torch.randn(B, T, S)
    raised = q.clone()
    raised[:, :, agent] += rise
    before, after = mixer(q, state), mixer(raised, state)
    assert bool((after >= before - 1e-5 * before.abs()).all())  # but for rounding


def test_the_central_mixer_can_fall_where_an_agents_value_rises() -> None:
    torch.manual_seed(0)
    mixer = CentralMixer(N, S, 16)
    q = torch.randn(64, 1, N, requires_grad=True)
    (gradient,) = torch.autograd.grad(mixer(q, torch.randn(64, 1, S)).sum(), q)
    assert bool((gradient < 0).any())
    assert bool((gradient > 0).any())


@pytest.mark.usefixtures("path")
def test_the_central_mixer_is_a_network_of_state_and_values_plus_one_of_the_state() -> None:
    torch.manual_seed(0)
    mixer = CentralMixer(N, S, 16)
    q, state = torch.randn(B, T, N), torch.randn(B, T, S)
    x = torch.cat([state, q], 2)
    for layer in (0, 2, 4):
        x = functional.relu(mixer.trunk[layer](x))
    value = mixer.value[2](functional.relu(mixer.value[0](state)))
    torch.testing.assert_close(mixer(q, state), (mixer.trunk[6](x) + value).squeeze(2))
