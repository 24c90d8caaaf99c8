"""FlatAdam against torch.optim.Adam behind torch.nn.utils.clip_grad_norm_."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from powqmix.learner.optimiser import FlatAdam


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 33), nn.Tanh(), nn.Linear(33, 1))


def loss_of(net: nn.Sequential, step: int, scale: float) -> Tensor:
    g = torch.Generator().manual_seed(step)
    return scale * (net(torch.randn(16, 5, generator=g)) - torch.randn(16, 1, generator=g)).square().mean()


@pytest.mark.parametrize("scale", [0.1, 1000.0], ids=["below the clipping norm", "above the clipping norm"])
def test_it_takes_torchs_steps(scale: float) -> None:
    ours, theirs = network(), network()
    flat = FlatAdam(list(ours.parameters()), learning_rate=1e-2, max_norm=10.0)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for step in range(20):
        flat.backward(loss_of(ours, step, scale))
        norm, skipped = flat.step()
        adam.zero_grad()
        loss_of(theirs, step, scale).backward()
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 10.0)
        adam.step()
        assert skipped.item() == 0
        assert norm.item() == pytest.approx(expected.item(), rel=1e-4)
        torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=1e-4, atol=1e-6)


def test_parameters_become_views_of_one_vector() -> None:
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    flat = FlatAdam(list(net.parameters()), learning_rate=1e-2, max_norm=10.0)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before))
    flat.values.zero_()
    assert not any(p.any() for p in net.parameters())


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing_and_is_reported(poison: float) -> None:
    net, twin = network(), network()
    flat = FlatAdam(list(net.parameters()), learning_rate=1e-2, max_norm=10.0)
    other = FlatAdam(list(twin.parameters()), learning_rate=1e-2, max_norm=10.0)
    for step in range(6):
        if step == 3:
            flat.gradient.fill_(0.1)
            flat.gradient[7] = poison
            before = flat.values.clone()
            _, skipped = flat.step()
            assert skipped.item() == 1
            assert torch.equal(flat.values, before)
            continue
        for optimiser, module in ((flat, net), (other, twin)):
            optimiser.backward(loss_of(module, step, 1.0))
            optimiser.step()
    assert torch.equal(flat.values, other.values)  # as if the poisoned step had never been tried


def test_state_of_other_networks_is_refused() -> None:
    flat = FlatAdam(list(network().parameters()), learning_rate=1e-2, max_norm=10.0)
    other = FlatAdam([nn.Parameter(torch.zeros(3))], learning_rate=1e-2, max_norm=10.0)
    with pytest.raises(ValueError, match="is for 3 parameters, these networks have 232"):
        flat.load_state_dict(other.state_dict())
