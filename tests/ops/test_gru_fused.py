"""The fused CUDA kernels of the GRU: emulated, and on a GPU where there is one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from powqmix import ops
from powqmix.ops import gru, gru_fused

from .. import cuda_emulation
from ..cuda_emulation import WHERE_THERE_IS_CUDA
from .gru_cases import close, exact_results, gru_inputs


def on(device: str, leaves: list[Tensor]) -> list[Tensor]:
    return [t.detach().to(device).requires_grad_() for t in leaves]


def results(leaves: list[Tensor], d_out: Tensor, d_last: Tensor) -> list[Tensor]:
    """out, h_last and the six gradients of the fused kernels."""
    out, last = ops.gru_sequence(*leaves, fused=True)
    loss = (out * d_out.to(out)).sum() + (last * d_last.to(out)).sum()
    return [out, last, *torch.autograd.grad(loss, leaves)]


@WHERE_THERE_IS_CUDA
@pytest.mark.parametrize("hidden", [32, 64, 128])
@pytest.mark.parametrize(("rows", "inputs"), [(1, 1), (33, 5), (129, 19)])
@pytest.mark.parametrize("steps", [1, 7])
def test_it_is_torchs_gru_with_all_six_gradients(rows: int, steps: int, inputs: int, hidden: int, device: str) -> None:
    exact, leaves = gru_inputs(rows, steps, inputs, hidden)
    d_out, d_last = torch.randn(rows, steps, hidden), torch.randn(rows, hidden)
    wanted = exact_results(exact, leaves, d_out, d_last)
    found = results(on(device, leaves), d_out, d_last)
    assert len(found) == len(wanted) == 8
    for got, right in zip(found, wanted, strict=True):
        close(got.cpu(), right)


@WHERE_THERE_IS_CUDA
def test_a_long_sequence_keeps_to_it(device: str) -> None:
    exact, leaves = gru_inputs(9, 200, 64, 64)
    d_out, d_last = torch.randn(9, 200, 64), torch.zeros(9, 64)
    for got, right in zip(
        results(on(device, leaves), d_out, d_last), exact_results(exact, leaves, d_out, d_last), strict=True
    ):
        close(got.cpu(), right)


@WHERE_THERE_IS_CUDA
def test_agents_side_by_side_are_rows(device: str) -> None:
    """x [B, T, N, I], as the learner has it, and not contiguous."""
    _, leaves = gru_inputs(15, 9, 6, 32)
    x, h0, *weights = on(device, leaves)
    beside = x.detach().view(5, 3, 9, 6).transpose(1, 2).requires_grad_()
    out, last = ops.gru_sequence(beside, h0, *weights, fused=True)
    wanted, wanted_last = ops.gru_sequence(x, h0, *weights, fused=True)
    torch.testing.assert_close(out.transpose(1, 2).reshape(15, 9, 32), wanted)
    torch.testing.assert_close(last, wanted_last)
    found = torch.autograd.grad(out.square().sum(), [beside, h0, *weights])
    right = torch.autograd.grad(wanted.square().sum(), [x, h0, *weights])
    torch.testing.assert_close(found[0].transpose(1, 2).reshape(15, 9, 6), right[0])
    for one, other in zip(found[1:], right[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


@WHERE_THERE_IS_CUDA
def test_repeats_are_the_same_to_the_last_bit_also_without_a_gradient(device: str) -> None:
    _, leaves = gru_inputs(129, 7, 19, 64)
    leaves, d_out, d_last = on(device, leaves), torch.randn(129, 7, 64), torch.randn(129, 64)
    first, again = results(leaves, d_out, d_last), results(leaves, d_out, d_last)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    with torch.no_grad():
        assert torch.equal(ops.gru_sequence(*leaves, fused=True)[0], first[0])


@pytest.mark.parametrize("hidden", [32, 64, 128])
def test_no_result_depends_on_the_order_of_threads(hidden: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one would read what another writes: a race on a GPU."""
    _, leaves = gru_inputs(12, 5, 3, hidden)
    d_out, d_last = torch.randn(12, 5, hidden), torch.randn(12, hidden)
    found = []
    for order in range(4):
        cuda_emulation.use(monkeypatch, order)
        found.append(results(leaves, d_out, d_last))
    for again in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], again, strict=True))


@WHERE_THERE_IS_CUDA
def test_no_rows_and_no_steps_give_empty_results_and_zero_gradients(device: str) -> None:
    for rows, steps in ((0, 3), (2, 0)):
        _, leaves = gru_inputs(2, 3, 5, 32)
        x, h0, *weights = on(device, leaves)
        x, h0 = x.detach()[:rows, :steps].requires_grad_(), h0.detach()[:rows].requires_grad_()
        out, last = ops.gru_sequence(x, h0, *weights, fused=True)
        assert out.shape == (rows, steps, 32)
        assert torch.equal(last, h0 if steps == 0 else last)
        for gradient in torch.autograd.grad(out.sum(), [x, h0, *weights]):
            assert not gradient.any()


def test_what_it_cannot_take_is_refused_with_the_remedy() -> None:
    _, leaves = gru_inputs(2, 3, 5, 32)
    with pytest.raises(ValueError, match="it is for CUDA, and x is on cpu; or leave fused out"):
        ops.gru_sequence(*leaves, fused=True)
    _, leaves = gru_inputs(2, 3, 5, 33)
    with pytest.raises(ValueError, match="H must be one of 32, 64, 128, got 33; or leave fused out"):
        ops.gru_sequence(*leaves, fused=True)
    _, leaves = gru_inputs(2, 3, 5, 32)
    halves = [t.detach().bfloat16() for t in leaves[:2]]
    with pytest.raises(ValueError, match="must be float32 outside autocast, got torch"):
        ops.gru_sequence(*halves, *leaves[2:], fused=True)
    with pytest.raises(ValueError, match=r"w_hh must be \[96, 32\]"):
        ops.gru_sequence(*leaves[:3], leaves[3][:5], *leaves[4:], fused=True)


def test_the_environment_chooses_on_cuda_and_names_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, chosen in ((None, "auto"), ("", "auto"), ("cudnn", "cudnn"), ("fused", "fused")):
        monkeypatch.delenv(gru.VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(gru.VARIABLE, value)
        assert gru.chosen() == chosen
    _, leaves = gru_inputs(2, 3, 5, 32)
    calls = itertools.count()
    monkeypatch.setattr(gru_fused, "_forward", lambda *_: next(calls))
    ops.gru_sequence(*leaves)  # on the CPU the kernel for CPUs stays
    assert next(calls) == 0
    monkeypatch.setenv(gru.VARIABLE, "cutlass")
    with pytest.raises(ValueError, match="POWQMIX_GRU must be auto, cudnn or fused, got 'cutlass'; unset it"):
        gru.chosen()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_cuda_the_switch_changes_the_kernel_and_a_graph_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, leaves = gru_inputs(33, 7, 19, 64)
    leaves = on("cuda", leaves)
    library, fused = (ops.gru_sequence(*leaves, fused=kind)[0] for kind in (False, True))
    monkeypatch.setenv(gru.VARIABLE, "fused")
    assert torch.equal(ops.gru_sequence(*leaves)[0], fused)
    torch.testing.assert_close(library, fused, rtol=1e-4, atol=1e-4)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        results(leaves, torch.ones(()), torch.ones(()))
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = ops.gru_sequence(*leaves)[0]
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, fused)
