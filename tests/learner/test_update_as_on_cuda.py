"""The update by the routes of a GPU's tensors, with its kernels emulated: what it teaches, and that nothing waits."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from powqmix.objectives import OBJECTIVES
from powqmix.ops import gru_choice
from powqmix.types import EpisodeBatch

from .. import cuda_emulation
from .test_update_static import assert_alike, batches, new

Make = Callable[..., EpisodeBatch]
ROOT = Path(__file__).parents[2]

# On a GPU the host waits for these, and no graph can hold them: they bring a number to the host, or have a result whose
# shape depends on values.
WAITS = {
    f"aten::{name}" for name in ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2")
}
UPLOADS = {"aten::lift_fresh", "aten::lift_fresh_copy"}  # torch.tensor(..): from memory that is not pinned
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
READS = {"tolist", "numpy", "cpu"}  # methods that a CPU's tensor answers by itself


class Reads(TorchFunctionMode):
    """Notes the lines that read a tensor from the host."""

    def __init__(self, lines: set[str]) -> None:
        super().__init__()
        self._lines = lines

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READS:
            self._lines.add(f"{func.__name__} at {caller()}")
        return func(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Notes the lines from which something is called that would wait for the device."""

    def __init__(self, lines: set[str]) -> None:
        super().__init__()
        self._lines = lines

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        masked = name in INDEXING and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if (masked or name in WAITS or name in UPLOADS) and "one_hot(" not in caller():  # which looks on a CPU only
            self._lines.add(f"{name} at {caller()}")
        return func(*args, **(kwargs or {}))


def caller() -> str:
    """The innermost line of ours, the test's aside."""
    ours = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(ROOT) and f.filename != __file__]
    frame = [f for f in ours if ".venv" not in f.filename][-1]
    return f"{frame.filename}:{frame.lineno}: {frame.line}"


@contextlib.contextmanager
def waiting() -> Iterator[set[str]]:
    lines: set[str] = set()
    with Waits(lines), Reads(lines):
        yield lines


def learn(algorithm: str, make_batch: Make, *assignments: str) -> tuple[Any, set[str]]:
    """Four updates of a small batch; where they would wait. New tensors that name no device are on another one."""
    update = new(algorithm, 8, "agent.hidden_size=32", *assignments, static=True)
    made = batches(make_batch, 8, 4)
    with waiting() as lines, torch.device("meta"):
        for batch in made:
            update(batch, env_steps=0)
    return update, lines


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_it_teaches_what_the_cpus_routes_do_and_never_waits(
    algorithm: str, make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = new(algorithm, 8, "agent.hidden_size=32", static=True)
    for batch in batches(make_batch, 8, 4):
        usual(batch, env_steps=0)
    wanted = usual.metrics()
    with monkeypatch.context() as patch:
        cuda_emulation.act_as_on_cuda(patch)
        found, lines = learn(algorithm, make_batch)
        assert not lines
    torch.testing.assert_close(found.objective.state_dict(), usual.objective.state_dict(), rtol=1e-3, atol=5e-5)
    assert found.metrics() == pytest.approx(wanted, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    "assignments",
    [("training.precision=bfloat16",), ("training.recognizer_minibatches=4",), ("weighting.warmup_steps=200",)],
)
def test_nor_does_it_with_other_settings(
    assignments: tuple[str, ...], make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda_emulation.act_as_on_cuda(monkeypatch)
    update, lines = learn("powqmix", make_batch, *assignments)
    assert not lines
    assert update.metrics()["updates_skipped"] == 0


def test_the_fused_gru_takes_the_recurrent_unrolls_too(make_batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its trial waits, which comes before anything is captured."""
    found = {}
    cuda_emulation.act_as_on_cuda(monkeypatch)
    monkeypatch.setattr(gru_choice, "milliseconds", lambda _: 1.0)  # a tie, which is the fused one's
    for kind in ("cudnn", "fused", "auto"):
        monkeypatch.setenv("POWQMIX_GRU", kind)
        found[kind], lines = learn("powqmix", make_batch)
        assert all("gru_choice.py" in line for line in lines)
        assert bool(lines) == (kind == "auto")
    assert_alike(found["cudnn"], found["fused"])
    assert (found["auto"].policy_vector() == found["fused"].policy_vector()).all()


def test_what_waits_is_seen(monkeypatch: pytest.MonkeyPatch, make_batch: Make) -> None:
    cuda_emulation.act_as_on_cuda(monkeypatch)
    update = new("qmix", 8, "agent.hidden_size=32", static=True)
    (batch,) = batches(make_batch, 8, 1)
    with waiting() as lines:
        update(batch, env_steps=0)
        assert not lines
        update.metrics()
    assert any("update_metrics.py" in line for line in lines)
