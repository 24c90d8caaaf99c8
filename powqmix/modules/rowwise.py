"""Rowwise: layers in a row over the last dimension, whatever stands before it."""

from __future__ import annotations

from torch import Tensor, nn


class Rowwise(nn.Sequential):
    """torch.nn.Sequential on [..., I] as a matrix of rows: the same values, and gradients without copies.

    A layer's output of three dimensions is a view of a matrix. Where a ReLU changes a view in place, autograd copies
    the whole gradient twice and fills a third; where it changes the matrix itself, it does neither.
    """

    def forward(self, input: Tensor) -> Tensor:
        rows: Tensor = super().forward(input.reshape(-1, input.shape[-1]))  # type: ignore[no-untyped-call]
        return rows.view(*input.shape[:-1], rows.shape[1])
