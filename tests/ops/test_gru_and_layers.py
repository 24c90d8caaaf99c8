"""The whole-network kernels of the CPU: against torch.nn in float64, at sizes that fill no vector and no tile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from powqmix import ops
from powqmix.modules import CentralMixer, MonotonicMixer
from powqmix.ops import gru as gru_module
from powqmix.ops import mixers
from powqmix.types import PolicySpec

SIZES = [(1, 1, 1, 1), (3, 5, 4, 7), (33, 7, 19, 33), (129, 3, 8, 16), (25, 33, 64, 64)]  # R, T, I, H


def close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(
        got.double(), wanted, rtol=2e-5, atol=2e-5 * max(1e-3, float(wanted.detach().abs().max()))
    )


@pytest.mark.parametrize("library_products", [0, 10**9])
@pytest.mark.parametrize(("rows", "steps", "inputs", "hidden"), SIZES)
def test_gru_sequence_is_torchs_gru_and_so_are_its_gradients(
    rows: int, steps: int, inputs: int, hidden: int, library_products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gru_module, "LIBRARY_PRODUCTS", library_products)
    torch.manual_seed(0)
    exact = nn.GRU(inputs, hidden, batch_first=True).double()
    x, h0 = torch.randn(rows, steps, inputs), torch.randn(rows, hidden)
    d_out, d_last = torch.randn(rows, steps, hidden), torch.randn(rows, hidden)
    leaves = [t.float().detach().requires_grad_() for t in (x, h0, *exact.parameters())]
    out, last = ops.gru_sequence(*leaves)
    exact_x, exact_h0 = x.double().requires_grad_(), h0.double().requires_grad_()
    exact_out, exact_last = exact(exact_x, exact_h0.unsqueeze(0))
    close(out, exact_out)
    close(last, exact_last.squeeze(0))
    gradients = torch.autograd.grad((out * d_out).sum() + (last * d_last).sum(), leaves)
    wanted = torch.autograd.grad(
        (exact_out * d_out).sum() + (exact_last.squeeze(0) * d_last).sum(), [exact_x, exact_h0, *exact.parameters()]
    )
    for got, right in zip(gradients, wanted, strict=True):
        close(got, right)


def test_gru_sequence_names_what_does_not_fit() -> None:
    weights = [torch.zeros(9, 4), torch.zeros(9, 3), torch.zeros(9), torch.zeros(9)]
    with pytest.raises(ValueError, match=r"w_ih must be \[9, 5\], got shape \[9, 4\]"):
        ops.gru_sequence(torch.zeros(2, 3, 5), torch.zeros(2, 3), *weights)
    with pytest.raises(ValueError, match=r"x must be \[R, T, I\]"):
        ops.gru_sequence(torch.zeros(2, 4), torch.zeros(2, 3), *weights)


MIXERS: list[Callable[[int, int, int], nn.Module]] = [
    lambda agents, state, width: MonotonicMixer(agents, state, width, 2 * width + 1),
    CentralMixer,
]


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(
    ("shape", "state_size", "width"),
    [((1, 1, 1), 1, 1), ((3, 5, 2), 7, 9), ((129, 1, 33), 4, 64), ((128, 2, 3), 33, 17)],
)
def test_a_mixer_in_one_call_is_the_mixer_layer_by_layer(
    mixer: Callable[[int, int, int], nn.Module],
    shape: tuple[int, int, int],
    state_size: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    network = mixer(shape[2], state_size, width)
    # Read in place where they are contiguous, else copied: agents' values come out of select_q and out of gather.
    q = torch.randn(shape[2], *shape[:2]).permute(1, 2, 0).requires_grad_()
    state, d_out = torch.randn(*shape[:2], state_size), torch.randn(*shape[:2])
    found = []
    for limit in (10**6, 0):
        monkeypatch.setattr(mixers, "NATIVE_ROWS", limit)
        out = network(q, state)
        loss, leaves = (out * d_out).sum(), [q, *network.parameters()]
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        for first, again in zip(gradients, torch.autograd.grad(loss, leaves), strict=True):
            assert torch.equal(first, again)
        found.append([out, *gradients])
    for native, library in zip(*found, strict=True):
        torch.testing.assert_close(native, library, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("use_last_action", [False, True])
@pytest.mark.parametrize("use_agent_id", [False, True])
def test_the_agent_in_one_call_is_the_agent_layer_by_layer(
    use_last_action: bool, use_agent_id: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from powqmix.modules import RecurrentAgent
    from powqmix.ops import agent as agent_module

    torch.manual_seed(2)
    agent = RecurrentAgent(PolicySpec(3, 6, 5, 10, use_last_action, use_agent_id))
    obs, last = torch.randn(4, 7, 3, 5), torch.randint(-1, 6, (4, 7, 3))
    found = []
    for limit in (10**6, 0):
        monkeypatch.setattr(agent_module, "NATIVE_ROWS", limit)
        q, hidden = agent.unroll(obs, last)
        loss = (q * torch.linspace(-1, 1, q.numel()).view_as(q)).sum() + hidden.square().sum()
        found.append([q, hidden, *torch.autograd.grad(loss, list(agent.parameters()))])
    for native, library in zip(*found, strict=True):
        torch.testing.assert_close(native, library, rtol=1e-4, atol=1e-4)
