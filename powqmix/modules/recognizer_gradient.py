"""The recognizer's loss and its gradient in closed form, for the steps that it takes on one batch.

The network is feed-forward and small, and it takes ten steps for each of the agents': written out, a pass has no graph
and no work on padding. On a CPU it is one native call, which takes tiles of rows forward and back while they are in the
near caches; elsewhere it is the library's products, in buffers that are made for a batch and written by all its passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from powqmix import ops

from .recognizer import Recognizer


@dataclass(frozen=True)
class Regression:
    """What Q_r is fitted to: R rows, the filled steps of a batch one after the other. Rows of share 0 count nothing."""

    state: Tensor  # f32 [R, S]
    actions: Tensor  # i64 [R, N]
    advantages: Tensor  # f32 [R, N], constants here: the loss trains lambda and V only
    target: Tensor  # f32 [R]
    share: Tensor  # f32 [R], of each row in the mean

    @staticmethod
    def join(parts: Sequence[Regression]) -> Regression:
        """The rows of all parts."""
        if len(parts) == 1:
            return parts[0]
        return Regression(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Regression)))

    def every(self, step: int, first: int) -> Regression:
        """Every `step`-th row from `first` on, as a mean of its own."""
        part = Regression(*(getattr(self, field.name)[first::step] for field in fields(Regression)))
        return replace(part, share=part.share / part.share.sum().clamp(min=torch.finfo(part.share.dtype).tiny))


class RecognizerGradient(Protocol):
    """L_r = 0.5 sum(share (Q_r - target)^2) and its gradient with respect to a recognizer's parameters (Eq. 14).

    Use: `begin` with the rows of a batch, then `compute` as often as wanted, the parameters changing in between (in
    place: their memory is taken when this is made).
    """

    def begin(self, rows: Regression) -> None:
        """Takes up the rows of a batch."""

    def compute(self) -> None:
        """Writes the gradient at the present parameters, and keeps their loss."""

    def loss(self) -> Tensor:
        """The loss [] that the last `compute` met."""


def recognizer_gradient(recognizer: Recognizer, gradients: list[Tensor], bfloat16: bool = False) -> RecognizerGradient:
    """`gradients` are written, in the order of `recognizer.parameters()`; `bfloat16` as in ops.recognizer.gradient."""
    parameter = recognizer.action_in
    if parameter.is_cuda or parameter.dtype != torch.float32:
        return LibraryGradient(recognizer, gradients)
    return NativeGradient(recognizer, gradients, bfloat16)


class NativeGradient:
    """On a CPU, with parameters and sums in float32, on torch.get_num_threads() threads.

    The same bits with any number of them.
    """

    def __init__(self, recognizer: Recognizer, gradients: list[Tensor], bfloat16: bool) -> None:
        self._bfloat16 = bfloat16
        named = dict(recognizer.named_parameters())
        by_name = dict(zip(named, gradients, strict=True))
        self._net = recognizer
        self._parameters = [named[part].detach() for part in ops.recognizer.PARTS]
        self._gradients = [by_name[part] for part in ops.recognizer.PARTS]
        self._loss = torch.zeros(())

    def begin(self, rows: Regression) -> None:
        self._rows = [t.contiguous() for t in (rows.state, rows.actions, rows.advantages, rows.target, rows.share)]

    def compute(self) -> None:
        net = self._net
        ops.recognizer.gradient(
            self._rows, net.n_actions, net.embed_size, self._parameters, self._gradients, self._loss,
            bfloat16=self._bfloat16,
        )  # fmt: skip

    def loss(self) -> Tensor:
        return self._loss


class LibraryGradient:
    """On any device, in any precision, by PyTorch's products."""

    def __init__(self, recognizer: Recognizer, gradients: list[Tensor]) -> None:
        self._net = recognizer
        self._parameter = {name: value.detach() for name, value in recognizer.named_parameters()}
        self._gradient = dict(zip(self._parameter, gradients, strict=True))
        self._transposed = {
            name: value.transpose(-1, -2) for name, value in self._parameter.items() if name.endswith("weight")
        }
        self._table_index = torch.arange(recognizer.action_in.shape[0], device=recognizer.action_in.device)

    def begin(self, rows: Regression) -> None:
        net = self._net
        # Anew for each batch: what a CUDA graph captures must have been allocated within it, not before and not shared
        # with a batch that another size would give back.
        self._lay_out(rows.target.shape[0])
        self._rows = rows
        self._advantages = rows.advantages.unsqueeze(1)  # [R, 1, N]
        self._table_rows = net.table_rows(rows.actions).view(-1)
        # The gradient of a sum of looked-up rows is again such a sum, over the transposed index: for every row of the
        # table, the steps that used it. It is the same in all passes over a batch, and fixes the order of the sums.
        used, order = self._table_rows.sort(stable=True)
        self._users = order.div_(net.n_agents, rounding_mode="floor")
        self._user_offsets = torch.searchsorted(used, self._table_index)

    def _lay_out(self, count: int) -> None:
        """Buffers for `count` rows, and the views of them that the passes use."""
        net, hidden, embed = self._net, self._net.hidden_size, self._net.embed_size
        empty = self._parameter["action_in"].new_empty
        self._row_offsets = torch.arange(0, count * net.n_agents, net.n_agents, device=self._table_index.device)
        self._first = empty(count, 3 * hidden)
        self._first_of_actions = self._first[:, : 2 * hidden]
        self._first_by_net = self._first.view(count, 3, hidden).transpose(0, 1)
        self._second = empty(3, count, hidden)
        self._second_by_net = self._second.unbind(0)
        self._w1 = empty(count, net.n_agents * embed)
        self._w2 = empty(count, embed)
        self._abs_w1 = empty(count, net.n_agents * embed)
        self._abs_w1_by_agent = self._abs_w1.view(count, net.n_agents, embed)
        self._d_first = empty(count, 3 * hidden)
        self._d_first_of_actions = self._d_first[:, : 2 * hidden]
        self._d_first_by_net = self._d_first.view(count, 3, hidden).transpose(0, 1)
        self._d_second = empty(3, count, hidden)
        self._d_second_by_net = self._d_second.unbind(0)

    @torch.no_grad()
    def compute(self) -> None:
        error, *others = self._forward()
        self._loss = torch.dot(error.square(), self._rows.share).mul_(0.5)
        self._backward(error, *others)

    def loss(self) -> Tensor:
        return self._loss

    def _forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the error Q_r - y [R], |w2| [R, K] and sum_i A_i |w1_ik| [R, K]; |w1| is left in its buffer."""
        parameter, transposed = self._parameter, self._transposed
        torch.addmm(parameter["state_in.bias"], self._rows.state, transposed["state_in.weight"], out=self._first)
        self._first_of_actions.add_(_sum_rows(parameter["action_in"], self._table_rows, self._row_offsets))
        self._first.relu_()
        torch.baddbmm(
            parameter["hidden_bias"], self._first_by_net, transposed["hidden_weight"], out=self._second
        ).relu_()
        of_w1, of_w2, of_value = self._second_by_net
        torch.addmm(parameter["w1_out.bias"], of_w1, transposed["w1_out.weight"], out=self._w1)
        torch.addmm(parameter["w2_out.bias"], of_w2, transposed["w2_out.weight"], out=self._w2)
        value = torch.addmm(parameter["value_out.bias"], of_value, transposed["value_out.weight"]).squeeze(1)
        torch.abs(self._w1, out=self._abs_w1)
        abs_w2 = self._w2.abs()
        mixed = torch.bmm(self._advantages, self._abs_w1_by_agent).squeeze(1)
        q_r = value.add_((mixed * abs_w2).sum(1))  # Eq. 5
        return q_r.sub_(self._rows.target), abs_w2, mixed

    def _backward(self, error: Tensor, abs_w2: Tensor, mixed: Tensor) -> None:
        parameter, gradient = self._parameter, self._gradient
        d_q = error.mul_(self._rows.share).unsqueeze(1)
        # Eq. 5 by w1 and w2: through |x| goes the sign of x, 0 at 0, as torch.abs has it.
        d_w2 = mixed.mul_(d_q).mul_(self._w2.sign_())
        d_joint = self._advantages.transpose(1, 2) * d_q.unsqueeze(2)  # [R, N, 1]
        torch.mul(d_joint, abs_w2.unsqueeze(1), out=self._abs_w1_by_agent)
        d_w1 = self._w1.sign_().mul_(self._abs_w1)
        for name, d_out, inputs, d_inputs in zip(
            ("w1_out", "w2_out", "value_out"), (d_w1, d_w2, d_q), self._second_by_net, self._d_second_by_net
        ):
            torch.mm(d_out.t(), inputs, out=gradient[f"{name}.weight"])
            torch.sum(d_out, 0, out=gradient[f"{name}.bias"])
            torch.mm(d_out, parameter[f"{name}.weight"], out=d_inputs)
        _relu_backward(self._d_second, self._second)
        torch.bmm(self._d_second.transpose(1, 2), self._first_by_net, out=gradient["hidden_weight"])
        torch.sum(self._d_second, 1, keepdim=True, out=gradient["hidden_bias"])
        torch.bmm(self._d_second, parameter["hidden_weight"], out=self._d_first_by_net)
        _relu_backward(self._d_first, self._first)
        torch.mm(self._d_first.t(), self._rows.state, out=gradient["state_in.weight"])
        torch.sum(self._d_first, 0, out=gradient["state_in.bias"])
        gradient["action_in"].copy_(_sum_rows(self._d_first_of_actions, self._users, self._user_offsets))


def _sum_rows(table: Tensor, rows: Tensor, offsets: Tensor) -> Tensor:
    """out[i] = sum of table[rows[k]] for offsets[i] <= k < offsets[i + 1], in this order."""
    return torch.embedding_bag(table, rows, offsets, False, 0)[0]


def _relu_backward(gradient: Tensor, output: Tensor) -> None:
    """Zeroes `gradient` where a ReLU's output is 0."""
    torch.ops.aten.threshold_backward.grad_input(gradient, output, 0.0, grad_input=gradient)
