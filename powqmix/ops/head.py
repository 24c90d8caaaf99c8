"""powqmix_head and td_lambda_target: recognizer values, weights and targets of a batch in one kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .kernels import check, check_rank, direct, kernel, runner
from .reference import PowqmixHead


def powqmix_head(
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
    *,
    td_lambda: float,
    recognition_tolerance: float,
    recognized_weight: float,
    other_weight: float,
) -> PowqmixHead:
    """scales, q_taken, q_max [B,T,N], the rest [B,T], filled u8 -> q_r, joint_weight, target, each [B,T].

    q_r = state_value + sum_i scales_i (q_taken_i - q_max_i) (Eq. 5); joint_weight is recognized_weight where the sum is
    at least -recognition_tolerance, else other_weight (Eq. 11); target is TD(lambda) (Eq. 15), begun at each episode's
    last filled step. All are 0 on unfilled steps, whatever they hold. Differentiable in scales and state_value, through
    q_r. Equations: arXiv 2405.08036. Raises ValueError.
    """
    check_rank("scales", scales, "B, T, N")
    check("filled", filled, "B, T", scales.shape[:2], scales, torch.uint8)
    for name, tensor in (("scales", scales), ("q_taken", q_taken), ("q_max", q_max)):
        check(name, tensor, "B, T, N", scales.shape, scales, torch.float32, where=filled)
    for name, tensor in (
        ("state_value", state_value), ("next_value", next_value), ("reward", reward), ("discount", discount),
    ):  # fmt: skip
        check(name, tensor, "B, T", scales.shape[:2], scales, torch.float32, where=filled)
    numbers = [td_lambda, recognition_tolerance, recognized_weight, other_weight]
    tensors = (scales, state_value, q_taken, q_max, next_value, reward, discount, filled)
    if direct():
        return PowqmixHead(*_Head.apply(numbers, *tensors))  # type: ignore[no-untyped-call]
    return PowqmixHead(*_op(numbers, *tensors))


def td_lambda_target(
    next_value: Tensor, reward: Tensor, discount: Tensor, filled: Tensor, *, td_lambda: float
) -> Tensor:
    """All [B,T], filled u8 -> y [B,T]: y_t = r_t + discount_t [(1 - L) next_value_t + L y_{t+1}], L = td_lambda.

    The recursion begins at each episode's last filled step, where y = r + discount * next_value. 0 on unfilled steps.
    A constant: no gradient. Raises ValueError.
    """
    check_rank("next_value", next_value, "B, T")
    check("filled", filled, "B, T", next_value.shape, next_value, torch.uint8)
    for name, tensor in (("next_value", next_value), ("reward", reward), ("discount", discount)):
        check(name, tensor, "B, T", next_value.shape, next_value, torch.float32, where=filled)
    if direct():
        return _target(next_value, reward, discount, filled, td_lambda)
    target: Tensor = _target_op(next_value, reward, discount, filled, td_lambda)
    return target


def _forward(
    numbers: list[float],
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [t.contiguous() for t in (scales, state_value, q_taken, q_max, next_value, reward, discount, filled)]
    batch, steps, agents = scales.shape
    outputs = tuple(scales.new_empty(batch, steps) for _ in range(3))
    kernel("powqmix_head", scales)(
        batch, steps, agents, numbers, [t.data_ptr() for t in inputs], [t.data_ptr() for t in outputs], runner(scales)
    )
    return outputs[0], outputs[1], outputs[2]


def _backward(d_q_r: Tensor, q_taken: Tensor, q_max: Tensor, filled: Tensor) -> tuple[Tensor, Tensor]:
    d_q_r, q_taken, q_max, filled = d_q_r.contiguous(), q_taken.contiguous(), q_max.contiguous(), filled.contiguous()
    d_scales, d_value = d_q_r.new_empty(*q_taken.shape), d_q_r.new_empty(*filled.shape)
    kernel("powqmix_head_backward", d_q_r)(
        filled.numel(), q_taken.shape[2], q_taken.data_ptr(), q_max.data_ptr(), filled.data_ptr(), d_q_r.data_ptr(),
        d_scales.data_ptr(), d_value.data_ptr(), runner(d_q_r),
    )  # fmt: skip
    return d_scales, d_value


def _target(next_value: Tensor, reward: Tensor, discount: Tensor, filled: Tensor, td_lambda: float) -> Tensor:
    next_value, reward, discount = next_value.detach().contiguous(), reward.contiguous(), discount.contiguous()
    filled = filled.contiguous()
    target = reward.new_empty(reward.shape)
    kernel("td_lambda_target", reward)(
        reward.shape[0], reward.shape[1], td_lambda, next_value.data_ptr(), reward.data_ptr(), discount.data_ptr(),
        filled.data_ptr(), target.data_ptr(), runner(reward),
    )  # fmt: skip
    return target


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, numbers: list[float], *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = _forward(numbers, *inputs)
        ctx.save_for_backward(inputs[2], inputs[3], inputs[7])
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:
            return (None,) * 9
        return (None, *_backward(gradients[0], *ctx.saved_tensors), *(None,) * 6)


_op = torch.library.custom_op("powqmix::powqmix_head", _forward, mutates_args=())
_op_backward = torch.library.custom_op("powqmix::powqmix_head_backward", _backward, mutates_args=())
_target_op = torch.library.custom_op("powqmix::td_lambda_target", _target, mutates_args=())


@_op.register_fake
def _(
    numbers: list[float],
    scales: Tensor,
    state_value: Tensor,
    q_taken: Tensor,
    q_max: Tensor,
    next_value: Tensor,
    reward: Tensor,
    discount: Tensor,
    filled: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = scales.shape[:2]
    return scales.new_empty(shape), scales.new_empty(shape), scales.new_empty(shape)


@_op_backward.register_fake
def _(d_q_r: Tensor, q_taken: Tensor, q_max: Tensor, filled: Tensor) -> tuple[Tensor, Tensor]:
    return d_q_r.new_empty(q_taken.shape), d_q_r.new_empty(filled.shape)


@_target_op.register_fake
def _(next_value: Tensor, reward: Tensor, discount: Tensor, filled: Tensor, td_lambda: float) -> Tensor:
    return reward.new_empty(reward.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(inputs[3], inputs[4], inputs[8])
    ctx.mark_non_differentiable(*output[1:])


_op.register_autograd(
    lambda ctx, d_q_r, *_: (None, *_op_backward(d_q_r, *ctx.saved_tensors), *(None,) * 6), setup_context=_save
)
