"""The recognizer in native calls: evaluated where a batch has few rows, and its gradient where they are many."""

from __future__ import annotations

import torch
from torch import Tensor

import powqmix._C as _C

NATIVE_ROWS = 128  # up to which one call was faster than the library's products, at 128 hidden units

# The parameters of modules.Recognizer in the order of the kernels.
PARTS = (
    "action_in", "hidden_weight", "hidden_bias", "state_in.weight", "state_in.bias", "w1_out.weight", "w1_out.bias",
    "w2_out.weight", "w2_out.bias", "value_out.weight", "value_out.bias",
)  # fmt: skip


def pays(state: Tensor) -> bool:
    """Whether a batch state [B, T, S] is for `evaluate`."""
    few = state.shape[0] * state.shape[1] <= NATIVE_ROWS
    return few and state.dtype == torch.float32 and not state.is_cuda and not torch.compiler.is_compiling()


def evaluate(
    state: Tensor, actions: Tensor, n_actions: int, embed_size: int, parts: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """state f32 [B, T, S], actions i64 [B, T, N] -> scales [B, T, N], state_value [B, T]; `parts` as PARTS."""
    batch, steps, state_size = state.shape
    agents, hidden = actions.shape[2], parts[1].shape[1]
    state, actions = state.contiguous(), actions.contiguous()
    scales, value = state.new_empty(batch, steps, agents), state.new_empty(batch, steps)
    _C.recognizer_evaluate(
        (batch * steps, agents, n_actions, state_size, embed_size, hidden), [p.data_ptr() for p in parts],
        state.data_ptr(), actions.data_ptr(), scales.data_ptr(), value.data_ptr(),
    )  # fmt: skip
    return scales, value


def gradient(
    rows: list[Tensor], n_actions: int, embed_size: int, parts: list[Tensor], gradients: list[Tensor], loss: Tensor,
    *, bfloat16: bool = False,
) -> None:  # fmt: skip
    """Writes the gradients (`parts` and `gradients` as PARTS) and the loss [] of L_r (Eq. 14) at `parts`.

    rows: state f32 [R, S], actions i64 [R, N], advantages f32 [R, N], target and share f32 [R], all contiguous, on the
    CPU. With `bfloat16` products are of numbers rounded to it, summed in float32, where the processor has instructions
    for that, and float32 elsewhere.
    """
    state, actions = rows[:2]
    _C.recognizer_gradient(
        (state.shape[0], actions.shape[1], n_actions, state.shape[1], embed_size, parts[1].shape[1]),
        [p.data_ptr() for p in parts], [g.data_ptr() for g in gradients], [t.data_ptr() for t in rows],
        bfloat16, torch.get_num_threads(), loss.data_ptr(),
    )  # fmt: skip
