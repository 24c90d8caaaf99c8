"""The recognizer's loss and its gradient in closed form, for the steps that it takes on one batch.

The network is feed-forward and small, and it takes ten steps for each of the agents': written out, with buffers that
live as long as the batch, a pass has no graph, no allocation of activations, and no work on padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .recognizer import Recognizer


@dataclass(frozen=True)
class Regression:
    """What Q_r is fitted to: R rows, the filled steps of a batch one after the other."""

    state: Tensor  # f32 [R, S]
    actions: Tensor  # i64 [R, N]
    advantages: Tensor  # f32 [R, N], constants here: the loss trains lambda and V only
    target: Tensor  # f32 [R]
    share: Tensor  # f32 [R], of each row in the mean


class RecognizerGradient:
    """L_r = 0.5 sum(share (Q_r - target)^2) and its gradient with respect to a recognizer's parameters (Eq. 14).

    `gradients` are written, in the order of `recognizer.parameters()`. Use: `begin` with the rows of a batch, then
    `compute` as often as wanted, the parameters changing in between.
    """

    def __init__(self, recognizer: Recognizer, gradients: list[Tensor]) -> None:
        self._net = recognizer
        self._memory: dict[str, Tensor] = {}
        names = [name for name, _ in recognizer.named_parameters()]
        self._gradient = dict(zip(names, gradients, strict=True))

    def begin(self, rows: Regression) -> None:
        """Takes up the rows of a batch."""
        net, count = self._net, rows.target.shape[0]
        self._rows = rows
        self._table_rows = net.table_rows(rows.actions)
        # The gradient of a sum of looked-up rows is again such a sum, over the transposed index: for every row of the
        # table, the steps that used it. It is the same in all passes over a batch, and fixes the order of the sums.
        used, order = self._table_rows.view(-1).sort(stable=True)
        self._users = order.div(net.n_agents, rounding_mode="floor")
        self._user_offsets = torch.searchsorted(used, torch.arange(net.action_in.shape[0], device=used.device))
        hidden, embed = net.hidden_size, net.embed_size
        self._first = self._buffer("first", count, 3 * hidden)
        self._second = self._buffer("second", 3, count, hidden)
        self._w1 = self._buffer("w1", count, net.n_agents * embed)
        self._w2 = self._buffer("w2", count, embed)
        self._abs_w1 = self._buffer("abs_w1", count, net.n_agents * embed)
        self._d_first = self._buffer("d_first", count, 3 * hidden)
        self._d_second = self._buffer("d_second", 3, count, hidden)

    def compute(self) -> Tensor:
        """Writes the gradient at the present parameters and returns the loss []."""
        with torch.no_grad():
            return self._backward(*self._forward())

    def _forward(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the error Q_r - y [R], |w1| [R, N, K], |w2| [R, K] and sum_i A_i |w1_ik| [R, K]."""
        net, rows, hidden = self._net, self._rows, self._net.hidden_size
        first, second = self._first, self._second
        torch.addmm(net.state_in.bias, rows.state, net.state_in.weight.t(), out=first)
        first[:, : 2 * hidden].add_(functional.embedding_bag(self._table_rows, net.action_in, mode="sum"))
        first.relu_()
        inputs = first.view(-1, 3, hidden).transpose(0, 1)
        torch.baddbmm(net.hidden_bias, inputs, net.hidden_weight.transpose(1, 2), out=second)
        second.relu_()
        torch.addmm(net.w1_out.bias, second[0], net.w1_out.weight.t(), out=self._w1)
        torch.addmm(net.w2_out.bias, second[1], net.w2_out.weight.t(), out=self._w2)
        value = torch.addmv(net.value_out.bias, second[2], net.value_out.weight[0])
        abs_w1 = torch.abs(self._w1, out=self._abs_w1).view(-1, net.n_agents, net.embed_size)
        abs_w2 = self._w2.abs()
        mixed = torch.bmm(rows.advantages.unsqueeze(1), abs_w1).squeeze(1)
        q_r = value.add_((mixed * abs_w2).sum(1))  # Eq. 5
        return q_r.sub_(rows.target), abs_w1, abs_w2, mixed

    def _backward(self, error: Tensor, abs_w1: Tensor, abs_w2: Tensor, mixed: Tensor) -> Tensor:
        net, rows, gradient = self._net, self._rows, self._gradient
        first, second, d_first, d_second = self._first, self._second, self._d_first, self._d_second
        d_q = error * rows.share
        loss = torch.dot(error, d_q).mul_(0.5)
        # Eq. 5 by |w1|, |w2|; the sign is that of the weight, 0 at 0, as torch.abs has it.
        d_w2 = mixed.mul_(d_q.unsqueeze(1)).mul_(self._w2.sign())
        torch.bmm((rows.advantages * d_q.unsqueeze(1)).unsqueeze(2), abs_w2.unsqueeze(1), out=abs_w1)
        d_w1 = self._w1.sign_().mul_(self._abs_w1)
        for name, d_out, inputs, d_inputs in (
            ("w1_out", d_w1, second[0], d_second[0]),
            ("w2_out", d_w2, second[1], d_second[1]),
            ("value_out", d_q.unsqueeze(1), second[2], d_second[2]),
        ):
            torch.mm(d_out.t(), inputs, out=gradient[f"{name}.weight"])
            torch.sum(d_out, 0, out=gradient[f"{name}.bias"])
            torch.mm(d_out, getattr(net, name).weight, out=d_inputs)
        d_second.mul_(second > 0)
        inputs = first.view(-1, 3, net.hidden_size).transpose(0, 1)
        torch.bmm(d_second.transpose(1, 2), inputs, out=gradient["hidden_weight"])
        torch.sum(d_second, 1, keepdim=True, out=gradient["hidden_bias"])
        d_inputs = d_first.view(-1, 3, net.hidden_size).transpose(0, 1)
        torch.bmm(d_second, net.hidden_weight, out=d_inputs)
        d_first.mul_(first > 0)
        torch.mm(d_first.t(), rows.state, out=gradient["state_in.weight"])
        torch.sum(d_first, 0, out=gradient["state_in.bias"])
        of_actions = d_first[:, : 2 * net.hidden_size].contiguous()
        gradient["action_in"].copy_(functional.embedding_bag(self._users, of_actions, self._user_offsets, mode="sum"))
        return loss

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """Memory kept between batches, grown where the batch is larger than all before."""
        weight, count = self._net.action_in, 1
        for size in shape:
            count *= size
        memory = self._memory.get(name)
        if memory is None or memory.numel() < count:
            memory = self._memory[name] = weight.new_empty(count)
        return memory[:count].view(shape)
