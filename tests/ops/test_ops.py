"""Every op: against the float64 reference, its gradient, opcheck, torch.compile, and repetition to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from powqmix import ops

from .cases import DIFFERENTIABLE, NAMES, SIZES, Case, make

GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")],
)
ON_EACH_DEVICE = pytest.mark.parametrize("device", ["cpu", GPU])
OF_EACH_OP = pytest.mark.parametrize("name", NAMES)


def on(device: str, case: Case) -> Case:
    return dataclasses.replace(case, inputs={name: tensor.to(device) for name, tensor in case.inputs.items()})


def close(got: Tensor, wanted: Tensor) -> None:
    """Within 1e-5 of the largest value, which is what float32 sums of these lengths can promise."""
    assert got.shape == wanted.shape
    if got.dtype in (torch.int64, torch.uint8):
        assert torch.equal(got, wanted)
        return
    scale = float(wanted.abs().max()) if wanted.numel() else 1.0
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5 * max(scale, 1e-3))


def check_values(case: Case) -> None:
    results, wanted = case.run(), case.expected()
    assert len(results) == len(wanted)
    for got, exact in zip(results, wanted, strict=True):
        close(got, exact)


@ON_EACH_DEVICE
@OF_EACH_OP
def test_an_op_equals_the_float64_reference_at_odd_sizes(name: str, device: str) -> None:
    for number, steps in enumerate(SIZES):
        for agents, width in ((1, 1), (3, 33), (33, 5)):
            for batch in (1, 3) if steps > 5 else (1, 33):
                check_values(on(device, make(name, batch, steps, agents, width, seed=number)))


@ON_EACH_DEVICE
@OF_EACH_OP
def test_an_op_takes_a_wide_batch(name: str, device: str) -> None:
    check_values(on(device, make(name, 129, 7, 2, 129, seed=9)))


@OF_EACH_OP
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 6), steps=st.integers(1, 40), agents=st.integers(1, 9), width=st.integers(1, 40),
    seed=st.integers(0, 2**20),
)  # fmt: skip
def test_an_op_equals_the_reference_at_any_size(
    name: str, batch: int, steps: int, agents: int, width: int, seed: int
) -> None:
    check_values(make(name, batch, steps, agents, width, seed))


@ON_EACH_DEVICE
@OF_EACH_OP
def test_strides_do_not_matter(name: str, device: str) -> None:
    case = on(device, make(name, 5, 6, 4, 7, seed=3))
    plain = case.run()
    apart = {n: torch.stack([t, t], dim=-1)[..., 0] for n, t in case.inputs.items()}
    turned = {n: t.transpose(0, 1).contiguous().transpose(0, 1) for n, t in case.inputs.items()}
    for inputs in (apart, turned):
        assert not all(t.is_contiguous() for t in inputs.values())
        for got, wanted in zip(case.run(**inputs), plain, strict=True):
            assert torch.equal(got, wanted)


@ON_EACH_DEVICE
@OF_EACH_OP
def test_an_empty_batch_gives_empty_results(name: str, device: str) -> None:
    case = on(device, make(name, 2, 3, 2, 3, seed=0))
    results = case.run(**{n: t[:0] for n, t in case.inputs.items()})
    assert all(result.numel() == 0 or (result.dim() == 0 and not result.any()) for result in results)


@ON_EACH_DEVICE
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_equal_those_of_the_float64_reference(name: str, device: str) -> None:
    for size in ((1, 1, 1, 1), (3, 33, 5, 6), (33, 3, 2, 33), (2, 129, 3, 4)):
        case = on(device, make(name, *size, seed=4))
        for got, wanted in zip(case.gradients(exact=False), case.gradients(exact=True), strict=True):
            close(got.cpu(), wanted.cpu())


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_the_slopes_of_the_op_itself(name: str) -> None:
    case = make(name, 2, 3, 2, 3, seed=8, hostile=False)
    gradients = case.gradients(exact=False)
    for field, gradient in zip(case.differentiable, gradients, strict=True):
        at = case.inputs[field]
        direction = torch.randn(at.shape, generator=torch.Generator().manual_seed(2)).sign()
        step = 1e-6
        # The reference in float64 stands for the op, which it equals: float32 is too coarse for differences.
        plus, minus = (
            sum(
                (case.expected(**{field: at.double() + side * step * direction})[i] * weights).sum()
                for i, weights in zip(case.outputs, _weights(case), strict=True)
            )
            for side in (1, -1)
        )
        slope = (plus - minus) / (2 * step)
        wanted = (gradient.double() * direction).sum()
        torch.testing.assert_close(wanted, slope, rtol=1e-3, atol=1e-3)


def _weights(case: Case) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    results = case.run()
    for index in case.outputs:
        yield torch.randn(results[index].shape, generator=generator).double()


@ON_EACH_DEVICE
@OF_EACH_OP
def test_the_registered_op_passes_opcheck(name: str, device: str) -> None:
    case = on(device, make(name, 2, 5, 3, 4, seed=5, hostile=False))
    for field in case.differentiable:
        case.inputs[field].requires_grad_()
    i = case.inputs
    arguments = {
        "powqmix_head": lambda: (
            list(case.options.values()), i["scales"], i["state_value"], i["q_taken"], i["q_max"], i["next_value"],
            i["reward"], i["discount"], i["filled"],
        ),
        "powqmix_loss": lambda: (
            list(case.options.values()), i["q_tot"], i["q_star"], i["scales"], i["state_value"], i["q_taken"],
            i["q_max"], i["next_value"], i["reward"], i["discount"], i["filled"], i["share"],
        ),
        "td_lambda_target": lambda: (i["next_value"], i["reward"], i["discount"], i["filled"], 0.6),
    }.get(name, lambda: tuple(i.values()))()  # fmt: skip
    torch.library.opcheck(getattr(torch.ops.powqmix, name).default, arguments)


@ON_EACH_DEVICE
@OF_EACH_OP
def test_a_compiled_function_gives_what_the_op_gives(name: str, device: str) -> None:
    case = on(device, make(name, 3, 5, 3, 4, seed=6))
    compiled = dataclasses.replace(case, op=torch.compile(case.op, fullgraph=True, backend="aot_eager"))
    for got, wanted in zip(compiled.run(), case.run(), strict=True):
        assert torch.equal(got, wanted)
    if case.differentiable:
        for got, wanted in zip(compiled.gradients(exact=False), case.gradients(exact=False), strict=True):
            assert torch.equal(got, wanted)


@ON_EACH_DEVICE
@OF_EACH_OP
def test_results_repeat_to_the_last_bit(name: str, device: str) -> None:
    case = on(device, make(name, 33, 33, 5, 9, seed=7, hostile=False))
    first = [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]
    for _ in range(3):
        again = [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@ON_EACH_DEVICE
@pytest.mark.parametrize("name", ["powqmix_head", "td_lambda_target"])
@pytest.mark.parametrize("padding", [1, 31, 200])
def test_padding_changes_no_bit(name: str, padding: int, device: str) -> None:
    case = on(device, make(name, 9, 37, 3, 4, seed=11))
    longer = {
        n: torch.cat(
            [t, torch.full_like(t[:, :1], 0 if n == "filled" else torch.nan).expand(-1, padding, *t.shape[2:])], 1
        )
        for n, t in case.inputs.items()
    }
    for got, wanted in zip(case.run(**longer), case.run(), strict=True):
        assert torch.equal(got[:, :37], wanted)
        assert not got[:, 37:].any()


def test_the_recursion_starts_at_each_episodes_last_step_and_not_at_the_batchs() -> None:
    """An episode cut off after two of four steps bootstraps from its own last state."""
    target = ops.td_lambda_target(
        torch.tensor([[10.0, 20.0, 999.0, 999.0]]), torch.tensor([[1.0, 2.0, 0.0, 0.0]]), torch.full((1, 4), 0.5),
        torch.tensor([[1, 1, 0, 0]], dtype=torch.uint8), td_lambda=0.5,
    )  # fmt: skip
    last = 2.0 + 0.5 * 20.0
    assert target.tolist() == [[1.0 + 0.5 * (0.5 * 10.0 + 0.5 * last), last, 0.0, 0.0]]


def test_a_row_without_a_legal_action_has_no_gradient_of_its_best() -> None:
    q = torch.ones(1, 1, 1, 3, requires_grad=True)
    taken, best, greedy = ops.select_q(q, torch.zeros(1, 1, 1, 3, dtype=torch.uint8), torch.tensor([[[2]]]))
    (best + 10 * taken).sum().backward()
    assert (float(best.detach()), int(greedy)) == (0.0, 0)
    assert q.grad is not None
    assert q.grad.tolist() == [[[[0.0, 0.0, 10.0]]]]


@OF_EACH_OP
def test_a_wrong_shape_or_dtype_is_named(name: str) -> None:
    case = make(name, 2, 3, 4, 5, seed=0)
    for field, tensor in case.inputs.items():
        with pytest.raises(ValueError, match=r"must be \[B, T.*got shape"):
            case.run(**{field: tensor[:, :, None]})
        with pytest.raises(ValueError, match=f"{field} must be torch"):
            case.run(**{field: tensor.to(torch.float16)})


@OF_EACH_OP
def test_debug_checks_name_and_place_what_is_not_finite(name: str) -> None:
    case = make(name, 3, 4, 2, 5, seed=1)  # with poison in the padding, which is nobody's business
    with ops.debug_checks():
        case.run()
        for field, tensor in case.inputs.items():
            if not tensor.is_floating_point():
                continue
            place = (0, 1, *(0,) * (tensor.dim() - 2))
            for poison in (torch.nan, torch.inf, -torch.inf):
                changed = tensor.clone()
                changed[place] = poison
                others = {"avail_actions": torch.ones(3, 4, 2, 5, dtype=torch.uint8)} if name == "select_q" else {}
                with pytest.raises(ValueError, match=rf"{field} must be finite, got -?(nan|inf) at \[0, 1.*1 such"):
                    case.run(**{field: changed}, **others)
    poisoned = case.differentiable[0] if case.differentiable else "reward"
    case.run(**{poisoned: torch.full_like(case.inputs[poisoned], torch.nan)})  # outside, nobody looks


def test_debug_checks_name_an_action_that_does_not_exist() -> None:
    case = make("select_q", 1, 2, 1, 3, seed=0)
    with ops.debug_checks(), pytest.raises(ValueError, match=r"actions must be from 0 to 2, got 3 at \[0, 1, 0\]"):
        case.run(actions=torch.tensor([[[0], [3]]]))
