"""What tests of the GRU's kernels share: inputs at any size, and torch.nn.GRU in float64 to hold results to."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def close(got: Tensor, wanted: Tensor) -> None:
    """Within 2e-5 of the largest value, which is what float32 sums over rows and steps can promise."""
    torch.testing.assert_close(
        got.double(), wanted, rtol=2e-5, atol=2e-5 * max(1e-3, float(wanted.detach().abs().max()))
    )


def gru_inputs(rows: int, steps: int, inputs: int, hidden: int) -> tuple[nn.GRU, list[Tensor]]:
    """torch's GRU in float64, and x, h0 and its parameters in float32 with gradients."""
    torch.manual_seed(0)
    exact = nn.GRU(inputs, hidden, batch_first=True).double()
    tensors = (torch.randn(rows, steps, inputs), torch.randn(rows, hidden), *exact.parameters())
    return exact, [t.float().detach().requires_grad_() for t in tensors]


def exact_results(exact: nn.GRU, leaves: list[Tensor], d_out: Tensor, d_last: Tensor) -> list[Tensor]:
    """out and h_last of `exact` at x and h0 of `leaves`, and the six gradients for d_out and d_last."""
    x, h0 = (t.detach().double().requires_grad_() for t in leaves[:2])
    out, last = exact(x, h0.unsqueeze(0))
    loss = (out * d_out).sum() + (last.squeeze(0) * d_last).sum()
    return [out, last.squeeze(0), *torch.autograd.grad(loss, [x, h0, *exact.parameters()])]
