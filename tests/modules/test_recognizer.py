"""The recognizer against three separate MLPs, and its closed-form gradient against autograd."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from powqmix.modules import Recognizer
from powqmix.modules.recognizer_gradient import LibraryGradient, NativeGradient, Regression

N, A, S, K, H = 3, 4, 5, 6, 8


def as_three_networks(net: Recognizer) -> list[nn.Sequential]:
    """MLP1 and MLP2 over [state; one-hot actions], MLP3 over the state, with the recognizer's parameters."""
    h, joint = net.hidden_size, net.state_size + net.n_agents * net.n_actions
    networks = []
    for i, out in enumerate((net.w1_out, net.w2_out, net.value_out)):
        first, second = nn.Linear(joint if i < 2 else net.state_size, h), nn.Linear(h, h)
        rows = slice(i * h, (i + 1) * h)
        with torch.no_grad():
            columns = [net.state_in.weight[rows]] + ([net.action_in[:, rows].t()] if i < 2 else [])
            first.weight.copy_(torch.cat(columns, 1))
            first.bias.copy_(net.state_in.bias[rows])
            second.weight.copy_(net.hidden_weight[i])
            second.bias.copy_(net.hidden_bias[i, 0])
        networks.append(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), out))
    return networks


def regression(rows: int, seed: int, dtype: torch.dtype, sizes: tuple[int, int, int] = (N, A, S)) -> Regression:
    """`sizes`: agents, actions, state."""
    agents, actions, state = sizes
    g = torch.Generator().manual_seed(seed)
    return Regression(
        state=torch.randn(rows, state, generator=g).to(dtype),
        actions=torch.randint(0, actions, (rows, agents), generator=g),
        advantages=-torch.rand(rows, agents, generator=g).to(dtype),
        target=torch.randn(rows, generator=g).to(dtype),
        share=torch.rand(rows, generator=g).to(dtype),
    )


def loss_by_autograd(net: Recognizer, rows: Regression) -> Tensor:
    w1, w2, value = net(rows.state.unsqueeze(0), rows.actions.unsqueeze(0))
    scales = torch.einsum("btnk,btk->btn", w1.abs(), w2.abs())
    q_r = value + (scales * rows.advantages).sum(2)
    return 0.5 * (rows.share * (q_r[0] - rows.target) ** 2).sum()


def test_the_recognizer_is_three_networks_of_two_hidden_layers() -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, K, H)
    state, actions = torch.randn(2, 7, S), torch.randint(0, A, (2, 7, N))
    one_hot = functional.one_hot(actions, A).flatten(2).float()
    joint = torch.cat([state, one_hot], 2)
    w1, w2, value = net(state, actions)
    mlp1, mlp2, mlp3 = as_three_networks(net)
    torch.testing.assert_close(w1.flatten(2), mlp1(joint))
    torch.testing.assert_close(w2, mlp2(joint))
    torch.testing.assert_close(value, mlp3(state).squeeze(2))


def test_its_layers_start_as_linear_layers_of_the_whole_input_do() -> None:
    torch.manual_seed(0)
    net = Recognizer(8, 6, 300, 64, 128)
    joint, state, hidden = 1 / math.sqrt(300 + 48), 1 / math.sqrt(300), 1 / math.sqrt(128)
    for values, bound in (
        (net.action_in, joint),
        (net.state_in.weight[:256], joint),
        (net.state_in.bias[:256], joint),
        (net.state_in.weight[256:], state),
        (net.hidden_weight, hidden),
        (net.hidden_bias, hidden),
    ):
        # A uniform sample of n values comes within bound / sqrt(n) or so of its bound.
        assert 0.9 * bound < values.abs().max().item() <= bound
        assert abs(values.mean().item()) < 0.2 * bound


@settings(max_examples=30, deadline=None)
@given(rows=st.sampled_from([1, 2, 33, 129]), seed=st.integers(0, 10_000))
def test_the_closed_form_gradient_is_autograds(rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    net = Recognizer(N, A, S, K, H).double()
    data = regression(rows, seed, torch.float64)
    gradients = [torch.full_like(p, math.nan) for p in net.parameters()]
    closed = LibraryGradient(net, gradients)
    closed.begin(data)
    closed.compute()
    expected = loss_by_autograd(net, data)
    torch.testing.assert_close(gradients, list(torch.autograd.grad(expected, list(net.parameters()))))
    torch.testing.assert_close(closed.loss(), expected.detach())


def test_the_closed_form_gradient_is_autograds_in_float32() -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, K, H)
    data = regression(200, 0, torch.float32)
    gradients = [torch.zeros_like(p) for p in net.parameters()]
    closed = LibraryGradient(net, gradients)
    closed.begin(data)
    closed.compute()
    expected = torch.autograd.grad(loss_by_autograd(net, data), list(net.parameters()))
    torch.testing.assert_close(gradients, list(expected), rtol=1e-4, atol=1e-5)


def distance_from_kinks(net: Recognizer, rows: Regression) -> float:
    """The smallest number that meets a ReLU or an absolute value."""
    one_hot = functional.one_hot(rows.actions, net.n_actions).flatten(1).to(rows.state.dtype)
    joint, found = torch.cat([rows.state, one_hot], 1), []
    for network, inputs in zip(as_three_networks(net), (joint, joint, rows.state)):
        first = network.to(rows.state.dtype)[0](inputs)
        second = network[2](first.relu())
        found += [first, second, network[4](second.relu())]
    return min(float(values.detach().abs().min()) for values in found[:-1])


def gradients_of(net: Recognizer, data: Regression, threads: int, bfloat16: bool = False) -> list[torch.Tensor]:
    """The native gradients and loss, on so many threads."""
    gradients = [torch.full_like(p, math.nan) for p in net.parameters()]
    closed = NativeGradient(net, gradients, bfloat16)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        closed.begin(data)
        closed.compute()
    finally:
        torch.set_num_threads(before)
    return [*gradients, closed.loss().clone()]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 6, 33, 191, 192, 193, 700]),
    sizes=st.tuples(
        *[st.sampled_from(choices) for choices in ((1, 3, 8), (2, 5), (1, 16, 37), (1, 16, 20), (1, 32, 40))]
    ),
    seed=st.integers(0, 10_000),
)
def test_the_native_gradient_is_autograds_in_double_precision(
    rows: int, sizes: tuple[int, int, int, int, int], seed: int
) -> None:
    agents, actions, state, embed, hidden = sizes
    torch.manual_seed(seed)
    net = Recognizer(agents, actions, state, embed, hidden)
    data = regression(rows, seed, torch.float32, sizes=(agents, actions, state))
    exact = copy.deepcopy(net).double()
    wide = Regression(
        *(getattr(data, f.name).double() if f.name != "actions" else data.actions for f in dataclasses.fields(data))
    )
    assume(distance_from_kinks(exact, wide) > 1e-6)  # where single precision may be on the other side
    expected = loss_by_autograd(exact, wide)
    wanted = [*torch.autograd.grad(expected, list(exact.parameters())), expected.detach()]
    for got, right in zip(gradients_of(net, data, 1), wanted, strict=True):
        assert float((got - right).abs().max()) <= 1e-5 * max(1.0, float(right.abs().max()))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_native_gradient_has_the_same_bits_on_any_number_of_threads(bfloat16: bool) -> None:
    torch.manual_seed(0)
    net, data = Recognizer(N, A, S, K, H), regression(3000, 0, torch.float32)
    one = gradients_of(net, data, 1, bfloat16)
    for threads in (1, 2, 3):
        assert all(torch.equal(a, b) for a, b in zip(gradients_of(net, data, threads, bfloat16), one, strict=True))


@pytest.mark.parametrize("rows", [95, 97, 700])
@pytest.mark.parametrize("sizes", [(1, 2, 1, 1, 33), (3, 5, 37, 20, 40), (8, 5, 16, 64, 128)])
def test_the_native_gradient_in_bfloat16_is_nearly_that_of_double_precision(
    rows: int, sizes: tuple[int, int, int, int, int]
) -> None:
    agents, actions, state, embed, hidden = sizes
    torch.manual_seed(rows)
    net = Recognizer(agents, actions, state, embed, hidden)
    data = regression(rows, rows, torch.float32, sizes=(agents, actions, state))
    data = dataclasses.replace(data, target=data.target.abs() + 3.0)  # all rows pull the same way: no cancellation
    exact = copy.deepcopy(net).double()
    wide = Regression(
        *(getattr(data, f.name).double() if f.name != "actions" else data.actions for f in dataclasses.fields(data))
    )
    expected = loss_by_autograd(exact, wide)
    wanted = [*torch.autograd.grad(expected, list(exact.parameters())), expected.detach()]
    size = max(float(right.norm()) for right in wanted[:-1])
    for got, right in zip(gradients_of(net, data, 1, bfloat16=True), wanted, strict=True):
        assert float((got - right).norm()) <= 0.03 * size + 1e-5


def test_the_gradient_follows_parameters_that_change_and_batches_of_other_sizes() -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, K, H).double()
    gradients = [torch.zeros_like(p) for p in net.parameters()]
    closed = LibraryGradient(net, gradients)
    for rows in (20, 3, 50, 20):
        data = regression(rows, rows, torch.float64)
        closed.begin(data)
        for _ in range(2):
            closed.compute()
            expected = torch.autograd.grad(loss_by_autograd(net, data), list(net.parameters()))
            torch.testing.assert_close(gradients, list(expected))
            with torch.no_grad():
                for parameter, gradient in zip(net.parameters(), gradients):
                    parameter.sub_(0.1 * gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_exactly_zero_have_no_gradient(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, K, H).to(dtype)
    with torch.no_grad():
        net.w2_out.weight.zero_()
        net.w2_out.bias.zero_()
    data = regression(9, 0, dtype)
    gradients = [torch.zeros_like(p) for p in net.parameters()]
    closed = LibraryGradient(net, gradients)
    closed.begin(data)
    closed.compute()
    named = dict(zip(dict(net.named_parameters()), gradients))
    assert not named["w2_out.weight"].any()
    assert not named["w1_out.weight"].any()
    assert named["value_out.weight"].any()
