"""weighted_loss: a squared error over a batch and its gradient, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner


def weighted_loss(value: Tensor, target: Tensor, share: Tensor, weight: Tensor | None = None) -> Tensor:
    """All [B,T] -> 0.5 sum share weight (value - target)^2, [] (Eq. 12-14); weight None: 1.

    `share` is each step's part in the mean: the sum is over steps of a share above 0, and the others may hold anything.
    Differentiable in value; the gradient is written with the loss. Raises ValueError.
    """
    check_rank("value", value, "B, T")
    check("share", share, "B, T", value.shape, value, torch.float32)
    for name, tensor in (("value", value), ("target", target), ("weight", weight)):
        if tensor is not None:
            check(name, tensor, "B, T", value.shape, value, torch.float32, where=share)
    if direct():
        loss: Tensor = _WeightedLoss.apply(value, target, share, weight)  # type: ignore[no-untyped-call]
        return loss
    loss, _ = _op(value, target, share, weight)
    return loss


def _forward(value: Tensor, target: Tensor, share: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    inputs = [value.contiguous(), target.contiguous(), share.contiguous()]
    if weight is not None:
        inputs.append(weight.contiguous())
    addresses = [t.data_ptr() for t in inputs] + [0] * (4 - len(inputs))
    loss, gradient = value.new_empty(()), value.new_empty(value.shape)
    kernel("weighted_loss", value)(
        value.numel(), addresses, loss.data_ptr(), gradient.data_ptr(), runner(value)
    )  # fmt: skip
    return loss, gradient


class _WeightedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, target: Tensor, share: Tensor, weight: Tensor | None) -> Tensor:
        loss, gradient = _forward(value, target, share, weight)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0] * ctx.saved_tensors[0], None, None, None


_op = torch.library.custom_op("powqmix::weighted_loss", _forward, mutates_args=())


@_op.register_fake
def _(value: Tensor, target: Tensor, share: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    return value.new_empty(()), value.new_empty(value.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


_op.register_autograd(lambda ctx, d_loss, _: (d_loss * ctx.saved_tensors[0], None, None, None), setup_context=_save)
