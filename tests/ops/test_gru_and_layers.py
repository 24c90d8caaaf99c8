"""The whole-network kernels of the CPU: against torch.nn in float64, at sizes that fill no vector and no tile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from powqmix import ops
from powqmix.modules import CentralMixer, MonotonicMixer
from powqmix.ops import gru as gru_module
from powqmix.ops import mixers
from powqmix.types import PolicySpec

from .gru_cases import close, exact_results, gru_inputs

ROOT = Path(__file__).parents[2]
SIZES = [(1, 1, 1, 1), (3, 5, 4, 7), (33, 7, 19, 33), (129, 3, 8, 16), (25, 33, 64, 64)]  # R, T, I, H


@pytest.mark.parametrize(("rows", "steps", "inputs", "hidden"), SIZES)
def test_gru_sequence_is_torchs_gru_and_so_are_its_gradients(rows: int, steps: int, inputs: int, hidden: int) -> None:
    exact, leaves = gru_inputs(rows, steps, inputs, hidden)
    d_out, d_last = torch.randn(rows, steps, hidden), torch.randn(rows, hidden)
    out, last = ops.gru_sequence(*leaves)
    gradients = torch.autograd.grad((out * d_out).sum() + (last * d_last).sum(), leaves)
    wanted = exact_results(exact, leaves, d_out, d_last)
    for got, right in zip((out, last, *gradients), wanted, strict=True):
        close(got, right)


@pytest.mark.parametrize(("rows", "steps", "inputs", "hidden"), [*SIZES, (47, 9, 5, 64)])
def test_gru_sequence_in_bfloat16_is_torchs_gru_but_for_rounding(
    rows: int, steps: int, inputs: int, hidden: int
) -> None:
    """x and h0 in bfloat16 with float32 weights: results in bfloat16, the weights' gradients in float32."""
    exact, leaves = gru_inputs(rows, steps, inputs, hidden)
    x, h0 = (t.detach().bfloat16().requires_grad_() for t in leaves[:2])
    d_out = torch.randn(rows, steps, hidden).abs().bfloat16()
    out, last = ops.gru_sequence(x, h0, *leaves[2:])
    assert out.dtype == last.dtype == torch.bfloat16
    exact_x, exact_h0 = (t.detach().double().requires_grad_() for t in (x, h0))
    exact_out, exact_last = exact(exact_x, exact_h0.unsqueeze(0))
    torch.testing.assert_close(out.double(), exact_out, rtol=0.02, atol=0.02)
    torch.testing.assert_close(last.double(), exact_last.squeeze(0), rtol=0.02, atol=0.02)
    gradients = torch.autograd.grad(out, [x, h0, *leaves[2:]], d_out)
    wanted = torch.autograd.grad(exact_out, [exact_x, exact_h0, *exact.parameters()], d_out.double())
    assert [g.dtype for g in gradients] == [torch.bfloat16] * 2 + [torch.float32] * 4
    for got, right in zip(gradients, wanted, strict=True):
        assert float((got - right).norm()) <= 0.03 * float(right.norm())


def test_gru_sequence_takes_agents_side_by_side() -> None:
    _, (x, h0, *weights) = gru_inputs(15, 9, 6, 10)
    beside = x.detach().view(5, 3, 9, 6).transpose(1, 2).contiguous().requires_grad_()
    out, last = ops.gru_sequence(beside, h0, *weights)
    wanted, wanted_last = ops.gru_sequence(x, h0, *weights)
    assert torch.equal(out.transpose(1, 2).reshape(15, 9, 10), wanted)
    assert torch.equal(last, wanted_last)
    (d_beside,) = torch.autograd.grad(out.square().sum(), beside)
    (d_x,) = torch.autograd.grad(wanted.square().sum(), x)
    assert torch.equal(d_beside.transpose(1, 2).reshape(15, 9, 6), d_x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gru_sequence_gives_the_same_bits_with_any_number_of_threads(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gru_module, "ROWS_PER_THREAD", 1)
    _, leaves = gru_inputs(157, 6, 20, 24)
    leaves[:2] = [t.detach().to(dtype).requires_grad_() for t in leaves[:2]]
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 2):
            torch.set_num_threads(count)
            out, _ = ops.gru_sequence(*leaves)
            found.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


def test_gru_sequence_without_a_gradient_gives_the_same() -> None:
    _, leaves = gru_inputs(33, 7, 19, 33)
    with torch.no_grad():
        without = ops.gru_sequence(*leaves)[0]
    assert torch.equal(without, ops.gru_sequence(*leaves)[0])


def test_gru_sequence_is_a_registered_op() -> None:
    _, (x, *others) = gru_inputs(5, 4, 3, 6)
    arguments = (x.detach().unsqueeze(2).requires_grad_(), *others)
    torch.library.opcheck(torch.ops.powqmix.gru_sequence.default, arguments)


def test_a_compiled_gru_sequence_gives_what_the_op_gives() -> None:
    _, leaves = gru_inputs(5, 4, 3, 6)
    compiled = torch.compile(ops.gru_sequence, fullgraph=True, backend="aot_eager")
    for got, wanted in zip(compiled(*leaves), ops.gru_sequence(*leaves), strict=True):
        torch.testing.assert_close(got, wanted)
        for of_got, right in zip(
            torch.autograd.grad(got.square().sum(), leaves, retain_graph=True, allow_unused=True),
            torch.autograd.grad(wanted.square().sum(), leaves, retain_graph=True, allow_unused=True),
            strict=True,
        ):
            torch.testing.assert_close(of_got, right)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_the_kernels_of_other_processors_pass_too(isa: str) -> None:
    """These tests again, and the recognizer's, with no better instructions than these (a better processor has them)."""
    tests = [__file__, str(ROOT / "tests/modules/test_recognizer.py")]
    chosen = ["-k", "(gru_sequence or native) and not other", *tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "POWQMIX_ISA": isa}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


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
