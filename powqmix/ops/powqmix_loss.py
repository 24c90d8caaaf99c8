"""powqmix_loss: from a batch's values to the three losses of POWQMIX and their gradients, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner
from .reference import PowqmixLoss

SUMS = 8  # the scalars of a PowqmixLoss, in its order


def powqmix_loss(
    q_tot: Tensor,
    q_star: Tensor | None,
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    share: Tensor,
    *,
    td_lambda: float,
    recognition_tolerance: float,
    recognized_weight: float,
    other_weight: float,
) -> PowqmixLoss:
    """scales, q_taken, q_max [B,T,N], the rest [B,T], filled u8 -> L_tot, L_star, L_r and means (Eq. 12-14).

    Recognizer values, weights and targets are those of `powqmix_head`. `share` is each step's part in the means, 0 on
    unfilled steps, where everything else may hold anything. Without q_star L_star is 0. Each loss is differentiable in
    what it is of: q_tot, q_star, or scales and state_value; the gradients are written with the losses. Raises
    ValueError.
    """
    check_rank("scales", scales, "B, T, N")
    shape = scales.shape[:2]
    check("filled", filled, "B, T", shape, scales, torch.uint8)
    check("share", share, "B, T", shape, scales, torch.float32)
    for name, tensor in (("scales", scales), ("q_taken", q_taken), ("q_max", q_max)):
        check(name, tensor, "B, T, N", scales.shape, scales, torch.float32, where=filled)
    for name, values in (
        ("q_tot", q_tot), ("q_star", q_star), ("state_value", state_value), ("next_value", next_value),
        ("reward", reward), ("discount", discount),
    ):  # fmt: skip
        if values is not None:
            check(name, values, "B, T", shape, scales, torch.float32, where=filled)
    numbers = [td_lambda, recognition_tolerance, recognized_weight, other_weight]
    tensors = (q_tot, q_star, scales, state_value, q_taken, q_max, next_value, reward, discount, filled, share)
    if direct():
        return PowqmixLoss(*_PowqmixLoss.apply(numbers, *tensors))  # type: ignore[no-untyped-call]
    losses, means, *_ = _op(numbers, *tensors)
    return PowqmixLoss(*losses.unbind(), *means.unbind())


def _forward(
    numbers: list[float], tensors: tuple[Tensor | None, ...], *, recognizer_too: bool
) -> tuple[Tensor, list[Tensor | None]]:
    """The sums [8], and the gradients of q_tot, q_star, scales and state_value, None where there is none."""
    q_tot, q_star, scales, *others, share = [None if t is None else t.contiguous() for t in tensors]
    assert q_tot is not None
    assert scales is not None
    batch, steps, agents = scales.shape
    sums, target = scales.new_empty(SUMS), scales.new_empty(batch, steps)
    gradients = [
        torch.empty_like(q_tot),
        None if q_star is None else torch.empty_like(q_star),
        torch.empty_like(scales) if recognizer_too else None,
        target.new_empty(batch, steps) if recognizer_too else None,
    ]
    scratch = torch.empty(batch * SUMS, dtype=torch.float64, device=scales.device)
    kernel("powqmix_loss", scales)(
        batch, steps, agents, numbers, addresses(scales, *others),
        addresses(q_tot, q_star, share, target, *gradients, sums, scratch), runner(scales),
    )  # fmt: skip
    return sums, gradients


def addresses(*tensors: Tensor | None) -> list[int]:
    """Where tensors begin; 0 for None."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


class _PowqmixLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: list[float], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        sums, gradients = _forward(numbers, tensors, recognizer_too=any(ctx.needs_input_grad[3:5]))
        outputs = sums.unbind()
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(*outputs[3:])
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *d_losses: Tensor | None) -> tuple[Tensor | None, ...]:
        d_tot, d_star, d_recognizer = d_losses[:3]
        q_tot, q_star, scales, state_value = ctx.saved_tensors
        found = [
            None if d is None or gradient is None else d * gradient
            for d, gradient in (
                (d_tot, q_tot), (d_star, q_star), (d_recognizer, scales), (d_recognizer, state_value),
            )
        ]  # fmt: skip
        return (None, *found, *(None,) * 7)


def _registered(
    numbers: list[float],
    q_tot: Tensor,
    q_star: Tensor | None,
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    share: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Losses [3], means [5] and all four gradients; that of an absent q_star is empty."""
    tensors = (q_tot, q_star, scales, state_value, q_taken, q_max, next_value, reward, discount, filled, share)
    sums, gradients = _forward(numbers, tensors, recognizer_too=True)
    d_q_tot, d_q_star, d_scales, d_state_value = (scales.new_empty(0) if g is None else g for g in gradients)
    return sums[:3].clone(), sums[3:].clone(), d_q_tot, d_q_star, d_scales, d_state_value


_op = torch.library.custom_op("powqmix::powqmix_loss", _registered, mutates_args=())


@_op.register_fake
def _(
    numbers: list[float],
    q_tot: Tensor,
    q_star: Tensor | None,
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    share: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape = scales.shape[:2]
    return (
        scales.new_empty(3), scales.new_empty(SUMS - 3), scales.new_empty(shape),
        scales.new_empty(0 if q_star is None else shape), scales.new_empty(scales.shape), scales.new_empty(shape),
    )  # fmt: skip


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.has_q_star = inputs[2] is not None
    ctx.save_for_backward(*output[2:])
    ctx.mark_non_differentiable(*output[1:])


def _registered_backward(ctx: Any, d_losses: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    d_q_tot, d_q_star, d_scales, d_state_value = ctx.saved_tensors
    d_tot, d_star, d_recognizer = d_losses.unbind()
    star = d_star * d_q_star if ctx.has_q_star else None
    return (None, d_tot * d_q_tot, star, d_recognizer * d_scales, d_recognizer * d_state_value, *(None,) * 7)


_op.register_autograd(_registered_backward, setup_context=_save)
