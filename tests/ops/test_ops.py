"""Every op: against the float64 reference, its gradient, opcheck, torch.compile, and repetition to the last bit."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from powqmix import ops

from .cases import DIFFERENTIABLE, HEAD, NAMES, SIZES, Case, make

ROOT = Path(__file__).parents[2]

OF_EACH_OP = pytest.mark.parametrize("name", NAMES)


def on(device: str, case: Case) -> Case:
    return dataclasses.replace(case, inputs={name: tensor.to(device) for name, tensor in case.inputs.items()})


def close(got: Tensor, wanted: Tensor, rounding: float = 1e-3) -> None:
    """Within 1e-5 of the largest value, which is what float32 sums of these lengths can promise."""
    assert got.shape == wanted.shape
    if got.dtype in (torch.int64, torch.uint8):
        assert torch.equal(got, wanted)
        return
    scale = float(wanted.abs().max()) if wanted.numel() else 1.0
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5 * max(scale, rounding))


def check_values(case: Case) -> None:
    results, wanted = case.run(), case.expected()
    assert len(results) == len(wanted)
    for got, exact in zip(results, wanted, strict=True):
        close(got, exact, case.rounding)


@OF_EACH_OP
def test_an_op_equals_the_float64_reference_at_odd_sizes(name: str, device: str) -> None:
    for number, steps in enumerate(SIZES):
        for agents, width in ((1, 1), (3, 33), (33, 5)):
            for batch in (1, 3) if steps > 5 else (1, 33):
                check_values(on(device, make(name, batch, steps, agents, width, seed=number)))


@OF_EACH_OP
def test_an_op_takes_a_wide_batch(name: str, device: str) -> None:
    check_values(on(device, make(name, 129, 7, 2, 129, seed=9)))


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


@OF_EACH_OP
def test_an_empty_batch_gives_empty_results(name: str, device: str) -> None:
    case = on(device, make(name, 2, 3, 2, 3, seed=0))
    results = case.run(**{n: t[:0] for n, t in case.inputs.items()})
    assert all(result.numel() == 0 or (result.dim() == 0 and not result.any()) for result in results)


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


@OF_EACH_OP
def test_a_compiled_function_gives_what_the_op_gives(name: str, device: str) -> None:
    case = on(device, make(name, 3, 5, 3, 4, seed=6))
    compiled = dataclasses.replace(case, op=torch.compile(case.op, fullgraph=True, backend="aot_eager"))
    for got, wanted in zip(compiled.run(), case.run(), strict=True):
        assert torch.equal(got, wanted)
    if case.differentiable:
        for got, wanted in zip(compiled.gradients(exact=False), case.gradients(exact=False), strict=True):
            assert torch.equal(got, wanted)


@OF_EACH_OP
def test_results_repeat_to_the_last_bit(name: str, device: str) -> None:
    case = on(device, make(name, 33, 33, 5, 9, seed=7, hostile=False))
    first = [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]
    for _ in range(3):
        again = [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@OF_EACH_OP
def test_results_do_not_depend_on_the_number_of_threads(name: str) -> None:
    case = make(name, 257, 129, 9, 16, seed=7, hostile=False)  # enough for a second thread
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append([*case.run(), *(case.gradients(exact=False) if case.differentiable else [])])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def results_and_slopes(case: Case, inputs: dict[str, Tensor], steps: int) -> list[Tensor]:
    """Results and gradients of the first `steps` steps, where only those have a part in what is differentiated."""
    leaves = {n: t.detach().clone().requires_grad_(n in case.differentiable) for n, t in inputs.items()}
    results = case.run(**leaves)
    found = [r.detach() if r.dim() == 0 else r.detach()[:, :steps] for r in results]
    if case.differentiable:
        of = [results[i] for i in case.outputs]
        weights = [torch.ones_like(r) for r in of]
        for weight, result in zip(weights, of, strict=True):
            if result.dim() > 0:
                weight[:, steps:] = 0.0
                weight[:, :steps] = result[:, :steps].detach().sin()  # some numbers that are the same each time
        found += [d[:, :steps] for d in torch.autograd.grad(of, [leaves[n] for n in case.differentiable], weights)]
    return found


@OF_EACH_OP
@pytest.mark.parametrize("padding", [1, 31, 300])
def test_padding_changes_no_bit_of_results_or_gradients(name: str, padding: int, device: str) -> None:
    steps = 37
    case = on(device, make(name, 9, steps, 3, 4, seed=11))
    longer = {}
    for field, tensor in case.inputs.items():
        poison = torch.nan if tensor.is_floating_point() and field != "share" else 0
        behind = torch.full_like(tensor[:, :1], poison).expand(-1, padding, *tensor.shape[2:])
        longer[field] = torch.cat([tensor, behind], 1)
    short, long = results_and_slopes(case, case.inputs, steps), results_and_slopes(case, longer, steps)
    for got, wanted in zip(long, short, strict=True):
        assert torch.equal(got, wanted)
    if "filled" in case.inputs:
        for result in case.run(**longer):
            assert result.dim() == 0 or not result[:, steps:].any()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("select_q", (33, 129, 33, 15)), ("select_q", (9, 33, 13, 600)), ("hyper_scales", (33, 129, 9, 64)),
        ("hyper_scales", (33, 129, 7, 72)), ("monotonic_mix", (33, 129, 9, 64)), ("monotonic_mix", (33, 129, 7, 72)),
    ],
)  # fmt: skip
def test_gradients_too_large_for_a_cache_are_whole(name: str, size: tuple[int, int, int, int], device: str) -> None:
    case = on(device, make(name, *size, seed=2))
    for got, wanted in zip(case.gradients(exact=False), case.gradients(exact=True), strict=True):
        close(got.cpu(), wanted.cpu())


@pytest.mark.parametrize("n_actions", [1, 3, 8, 15, 33, 65, 129])
def test_the_best_is_the_first_of_the_highest_and_nan_is_below_all(n_actions: int, device: str) -> None:
    generator = torch.Generator().manual_seed(n_actions)
    values = torch.tensor([-torch.inf, torch.nan, -1.0, 0.0, 0.0, 2.0, torch.inf])
    q = values[torch.randint(len(values), (1, 40, 5, n_actions), generator=generator)]
    q[0, :8] = q[0, :8].masked_fill(q[0, :8] > -torch.inf, torch.nan)  # rows of nothing but -infinity and NaN
    avail = (torch.rand(q.shape, generator=generator) < 0.6).to(torch.uint8)
    _, best, greedy = ops.select_q(q.to(device), avail.to(device), torch.zeros(1, 40, 5, dtype=torch.int64).to(device))
    for t in range(40):
        for i in range(5):
            legal = [a for a in range(n_actions) if avail[0, t, i, a]]
            row = q[0, t, i].tolist()
            numbers = [a for a in legal if row[a] == row[a]]
            wanted = max(numbers, key=lambda a: row[a]) if numbers else (legal or [0])[0]
            assert greedy[0, t, i] == wanted
            value = torch.tensor(row[wanted] if legal else 0.0)
            torch.testing.assert_close(best[0, t, i].cpu(), value, rtol=0, atol=0, equal_nan=True)


def test_the_gradient_reaches_the_last_of_the_most_actions_and_one_more_is_refused(device: str) -> None:
    most = 65535
    q = torch.zeros(1, 2, 1, most, device=device, requires_grad=True)
    avail = torch.zeros(q.shape, dtype=torch.uint8, device=device)
    avail[0, 0, 0, most - 1] = 1  # and nothing is legal in the second row
    actions = torch.tensor([[[most - 1], [most - 2]]], device=device)
    taken, best, greedy = ops.select_q(q, avail, actions)
    assert greedy.flatten().tolist() == [most - 1, 0]
    (gradient,) = torch.autograd.grad((2 * taken + 3 * best).sum(), q)
    assert gradient.nonzero()[:, 1:].tolist() == [[0, 0, most - 1], [1, 0, most - 2]]
    assert gradient[gradient != 0].tolist() == [5, 2]
    wider = torch.zeros(1, 1, 1, most + 1, device=device)
    with pytest.raises(ValueError, match="65536 actions"):
        ops.select_q(wider, wider.to(torch.uint8), actions[:, :1])


def test_the_recognition_tolerance_itself_is_recognized(device: str) -> None:
    """A joint advantage of exactly -C counts; with the next smaller C it does not. All numbers are representable."""
    one = torch.ones(1, 1, device=device)
    scales = torch.tensor([[[0.5, 2.0, 0.25]]], device=device)
    taken, best = torch.tensor([[[1.0, -0.5, 3.0]]], device=device), torch.tensor([[[1.25, -0.5, 3.5]]], device=device)
    tolerance = 0.5 * 0.25 + 0.25 * 0.5
    filled = one.to(torch.uint8)
    below = float(torch.nextafter(torch.tensor(tolerance), torch.tensor(0.0)))
    for c, recognized in ((tolerance, True), (below, False)):
        options = {**HEAD, "recognition_tolerance": c}
        head = ops.powqmix_head(scales, one, taken, best, one, one, one, filled, **options)
        assert head.joint_weight.item() == (HEAD["recognized_weight"] if recognized else HEAD["other_weight"])
        loss = ops.powqmix_loss(one, None, scales, one, taken, best, one, one, one, filled, one, **options)
        assert loss.recognized_share.item() == float(recognized)
        assert loss.weight_mean.item() == head.joint_weight.item()


def test_each_loss_is_differentiable_in_what_it_is_of_and_in_nothing_else(device: str) -> None:
    case = on(device, make("powqmix_loss", 5, 9, 3, 1, seed=3))
    leaves = {n: case.inputs[n].clone().requires_grad_() for n in case.differentiable}
    losses = case.run(**leaves)
    reached = {"q_tot": 0, "q_star": 1, "scales": 2, "state_value": 2}
    for number, loss in enumerate(losses[:3]):
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, retain_graph=True)
        for field, gradient in zip(leaves, found, strict=True):
            assert (gradient is not None) == (reached[field] == number)
    assert not any(mean.requires_grad for mean in losses[3:])


def test_without_a_critic_its_loss_is_zero() -> None:
    case = make("powqmix_loss", 5, 9, 3, 1, seed=3)
    with_critic = case.run()
    without = ops.powqmix_loss(**{**case.inputs, "q_star": None}, **case.options)  # type: ignore[arg-type]
    assert without.star.item() == 0.0
    for number, (got, wanted) in enumerate(zip(without, with_critic, strict=True)):
        assert number == 1 or torch.equal(got, wanted)


@OF_EACH_OP
def test_the_kernels_of_any_processor_equal_the_reference_too(name: str) -> None:
    script = (
        "import torch; torch.set_num_threads(1)\n"
        "from tests.ops.test_ops import close, make\n"
        f"for size in ((3, 33, 5, 7), (2, 9, 3, 64), (33, 65, 8, 128)):\n"
        f"    case = make({name!r}, *size, seed=1)\n"
        "    found = [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]\n"
        "    wanted = [*case.expected(), *(case.gradients(exact=True) if case.differentiable else [])]\n"
        "    for got, exact in zip(found, wanted, strict=True):\n"
        "        close(got, exact)\n"
    )
    environment = {**os.environ, "POWQMIX_ISA": "baseline"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
