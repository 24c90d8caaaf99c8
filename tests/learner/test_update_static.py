"""The update in the form that a graph can hold: no number of a batch in its shapes but a length and a bound."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from powqmix import config
from powqmix.learner.captured import WARM_UPS, CapturedCalls
from powqmix.learner.transitions import BatchReader, filled_bound
from powqmix.learner.update import Update
from powqmix.modules import Recognizer
from powqmix.modules.recognizer_gradient import LibraryGradient, Regression
from powqmix.objectives import OBJECTIVES
from powqmix.types import EnvSpec, EpisodeBatch

from .graphs_without_gpu import Recorded

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=4, obs_size=5, state_size=6, episode_limit=12)
SMALL = (
    "agent.hidden_size=8", "mixer.embed_size=4", "mixer.hypernet_size=6", "critic.hidden_size=8",
    "recognizer.embed_size=4", "recognizer.hidden_size=8", "recognizer.recognition_tolerance=0.01",
    "training.target_update_interval=2", "training.recognizer_updates=3", "training.recognizer_first_updates=5",
)  # fmt: skip
CPU = torch.device("cpu")
Make = Callable[..., EpisodeBatch]


def new(algorithm: str, batch_size: int, *assignments: str, static: bool, device: torch.device = CPU) -> Update:
    sizes = (f"training.batch_size={batch_size}", "replay.capacity=64")
    settings = config.resolve(SPEC.id, algorithm, assignments=(*SMALL, *sizes, *assignments))
    return Update(settings, SPEC, device, static_shapes=static)


def batches(make_batch: Make, batch_size: int, count: int, *lengths: int) -> list[EpisodeBatch]:
    """Batches of the lengths in turn, each with padding."""
    lengths = lengths or (9, 6)
    made = []
    for seed in range(count):
        length = lengths[seed % len(lengths)]
        made.append(make_batch(SPEC, batch_size, length - 2, seed=seed, padding=2))
    return made


def assert_alike(left: Update, right: Update) -> None:
    torch.testing.assert_close(left.objective.state_dict(), right.objective.state_dict(), rtol=1e-3, atol=2e-5)
    assert left.metrics() == pytest.approx(right.metrics(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("batch_size", [8, 40])  # few rows take other paths than many
@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_static_shapes_teach_what_the_usual_form_does(algorithm: str, batch_size: int, make_batch: Make) -> None:
    static, usual = (new(algorithm, batch_size, static=form) for form in (True, False))
    for update in (static, usual):
        for batch in batches(make_batch, batch_size, 4):
            update(batch, env_steps=0)
    assert static.inputs is not None
    assert usual.inputs is None
    assert_alike(static, usual)


@pytest.mark.parametrize(
    "assignments",
    [("weighting.warmup_steps=200",), ("training.recognizer_minibatches=4",), ("agent.use_agent_id=false",)],
)
def test_so_they_do_in_a_warm_up_and_with_minibatches(assignments: tuple[str, ...], make_batch: Make) -> None:
    static, usual = (new("powqmix", 40, *assignments, static=form) for form in (True, False))
    for update in (static, usual):
        for step, batch in enumerate(batches(make_batch, 40, 5)):
            update(batch, env_steps=100 * step)
    assert_alike(static, usual)


def test_a_full_batch_and_one_of_single_steps_too(make_batch: Make) -> None:
    static, usual = (new("powqmix", 8, static=form) for form in (True, False))
    full = make_batch(SPEC, 8, 1)
    nearly_empty = make_batch(SPEC, 8, 1, seed=1, padding=11)
    for update in (static, usual):
        for batch in (full, nearly_empty):
            update(batch, env_steps=0)
    assert_alike(static, usual)


def test_the_memory_of_the_last_batch_leaves_nothing_in_the_next(make_batch: Make) -> None:
    batch = make_batch(SPEC, 8, 5)
    first, second = (new("powqmix", 8, static=True) for _ in range(2))
    second.inputs.take(make_batch(SPEC, 8, 12, seed=9))  # type: ignore[union-attr]
    for update in (first, second):
        update(batch, env_steps=0)
    assert torch.equal(torch.from_numpy(first.policy_vector()), torch.from_numpy(second.policy_vector()))


def test_a_batch_that_is_in_place_is_not_copied(make_batch: Make) -> None:
    update = new("powqmix", 8, static=True)
    assert update.inputs is not None
    batch = make_batch(SPEC, 8, 5)
    tensors = update.inputs.take(batch)
    assert update.inputs.take(dataclasses.replace(batch, **tensors)) == tensors
    assert all(tensors[name].data_ptr() == update.inputs.tensors(8, 5)[name].data_ptr() for name in tensors)


@pytest.mark.parametrize("merged", [True, False])
def test_batches_that_do_not_fit_take_the_usual_form(merged: bool, make_batch: Make) -> None:
    static, usual = (new("powqmix", 8, static=form) for form in (True, False))
    batch = make_batch(SPEC, 8, 7, padding=0 if merged else 9)  # longer than any episode
    if merged:
        batch = dataclasses.replace(batch, multiplicity=torch.full((8,), 2.0))
    for update in (static, usual):
        update(batch, env_steps=0)
    assert torch.equal(torch.from_numpy(static.policy_vector()), torch.from_numpy(usual.policy_vector()))


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix", "qplex"])
def test_captured_updates_are_those_made_one_by_one(algorithm: str, make_batch: Make) -> None:
    graphs = Recorded()
    captured, usual = (new(algorithm, 8, "weighting.warmup_steps=500", static=True) for _ in range(2))
    captured.calls = CapturedCalls(graphs)
    done = []
    for update in (captured, usual):
        turns: list[int] = []
        done.append(turns)
        for step, batch in enumerate(batches(make_batch, 8, 24)):
            update(batch, env_steps=50 * step, meanwhile=lambda turns=turns: turns.append(0))
    assert done[0] == done[1] == [0] * 24
    assert graphs.warmed_up >= 1 + 4 * WARM_UPS  # the first update, then two lengths before and after the warm-up
    assert graphs.captured == captured.calls.captured >= 4
    assert graphs.launched > graphs.captured
    assert graphs.warmed_up + graphs.launched == 24
    assert_alike(captured, usual)


def test_a_capture_that_fails_is_said_once_and_training_goes_on(
    make_batch: Make, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = Recorded()
    graphs.fails = True
    captured, usual = (new("powqmix", 8, static=True) for _ in range(2))
    captured.calls = CapturedCalls(graphs)
    with caplog.at_level(logging.WARNING, "powqmix.learner"):
        for update in (captured, usual):
            for batch in batches(make_batch, 8, 12):
                update(batch, env_steps=0)
    (said,) = caplog.messages
    assert "operation not permitted when stream is capturing" in said
    assert "training.cuda_graphs=false" in said
    assert_alike(captured, usual)


def test_a_call_has_its_warm_ups_then_a_capture_then_launches() -> None:
    graphs = Recorded()
    calls = CapturedCalls(graphs)
    results = [calls.run("key", lambda: ({}, torch.ones(()))) for _ in range(WARM_UPS + 3)]
    assert (graphs.warmed_up, graphs.captured, graphs.launched) == (WARM_UPS, 1, 3)
    assert results[-1] is results[-2]
    calls.run("another", lambda: ({}, torch.ones(())))
    assert graphs.warmed_up == WARM_UPS + 1


@given(steps=st.integers(1, 4000), data=st.data())
def test_the_bound_holds_the_count_and_is_one_of_eight(steps: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, steps))
    bound = filled_bound(count, steps)
    assert count <= bound <= min(steps, count + -(-steps // 8))
    assert len({filled_bound(k, steps) for k in range(1, steps + 1)}) <= 8


def test_a_count_outside_of_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="filled_count must be between 1 and the batch's 6 steps, got 7"):
        filled_bound(7, 6)


def test_the_regression_has_the_filled_steps_then_rows_that_count_nothing(make_batch: Make) -> None:
    update = new("powqmix", 8, static=False)
    batch = make_batch(SPEC, 8, 7, padding=3)
    tensors = {
        name: getattr(batch, name)
        for name in ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")
    }
    read, count = BatchReader(0.99, torch.float32), batch.filled_count
    exact, bounded = (
        update.objective.regression(part, update.objective.evaluate(part))
        for part in (read(tensors, count, 0), read(tensors, count + 5, 0))
    )
    for field in dataclasses.fields(Regression):
        rows = getattr(bounded, field.name)
        assert rows.shape[0] == count + 5
        assert torch.equal(rows[:count], getattr(exact, field.name))
    assert exact.share.min() > 0
    assert exact.share.sum().item() == pytest.approx(1.0)
    assert not bounded.share[count:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_share_0_leave_the_library_gradient_as_it_is(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = Recognizer(3, 4, 6, 5, 8).to(dtype)
    rows = Regression(
        torch.randn(20, 6, dtype=dtype), torch.randint(4, (20, 3)), -torch.rand(20, 3, dtype=dtype),
        torch.randn(20, dtype=dtype), torch.rand(20, dtype=dtype),
    )  # fmt: skip
    more = Regression(
        *(torch.cat([getattr(rows, f.name), getattr(rows, f.name)[:7]]) for f in dataclasses.fields(rows))
    )
    more.share[20:] = 0
    found = []
    for regression in (rows, more, rows):  # the last one after another size
        gradients = [torch.full_like(p, 9.0) for p in net.parameters()]
        gradient = LibraryGradient(net, gradients)
        for size in (more, regression):
            gradient.begin(size)
            gradient.compute()
        found.append([*gradients, gradient.loss()])
    torch.testing.assert_close(found[0], found[1])
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[2]))
