"""Which GRU a GPU's tensors go to: trials with the fused kernels emulated, and times that the test says."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from powqmix import ops
from powqmix.ops import gru, gru_choice

from .. import cuda_emulation
from .gru_cases import gru_inputs


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], list[str]]:
    """As on CUDA; called with the milliseconds of the fused kernels and of cuDNN, it gives a list of what runs."""
    cuda_emulation.act_as_on_cuda(monkeypatch)
    monkeypatch.delenv(gru.VARIABLE)
    monkeypatch.setattr(gru_choice, "_choices", {})
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    ran: list[str] = []
    real = {"fused": gru._by_fused, "cuDNN": gru._by_library}
    for kind, name in (("fused", "_by_fused"), ("cuDNN", "_by_library")):
        monkeypatch.setattr(gru, name, lambda *given, kind=kind: ran.append(kind) or real[kind](*given))

    def with_times(fused: float, library: float) -> list[str]:
        times = iter((fused, library))
        monkeypatch.setattr(gru_choice, "milliseconds", lambda _: next(times))
        return ran

    return with_times


@pytest.mark.parametrize(("fused", "library", "kind"), [(1.0, 5.0, "fused"), (5.0, 1.0, "cuDNN"), (1.0, 0.9, "fused")])
def test_the_faster_one_is_taken_after_one_trial(
    trials: Callable[[float, float], list[str]], fused: float, library: float, kind: str
) -> None:
    ran = trials(fused, library)
    _, leaves = gru_inputs(9, 3, 32, 32)  # as many inputs as units, as agents have
    with torch.no_grad():  # which the trial does not mind
        first = ops.gru_sequence(*leaves)[0]
    assert ran == ["fused", "cuDNN", kind]
    ops.gru_sequence(*leaves)
    assert ran[3:] == [kind]
    wanted = ops.gru_sequence(*leaves, fused=kind == "fused")[0]
    assert torch.equal(first, wanted)


def test_other_sizes_are_tried_anew_and_similar_numbers_of_rows_are_not(
    trials: Callable[[float, float], list[str]],
) -> None:
    for rows, hidden, tried in ((9, 32, True), (16, 32, False), (17, 32, True), (9, 64, True), (9, 32, False)):
        ran = trials(1.0, 5.0)
        ran.clear()
        ops.gru_sequence(*gru_inputs(rows, 3, 5, hidden)[1])
        assert ran == (["fused", "cuDNN"] if tried else []) + ["fused"]


def test_the_environment_leaves_nothing_to_try(
    trials: Callable[[float, float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = trials(1.0, 1.0)
    for value, kind in (("fused", "fused"), ("cudnn", "cuDNN")):
        monkeypatch.setenv(gru.VARIABLE, value)
        ran.clear()
        ops.gru_sequence(*gru_inputs(9, 3, 5, 32)[1])
        assert ran == [kind]


def test_nothing_is_tried_in_a_capture_and_nothing_remembered(
    trials: Callable[[float, float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = trials(1.0, 5.0)
    _, leaves = gru_inputs(9, 3, 5, 32)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    ops.gru_sequence(*leaves)
    assert ran == ["cuDNN"]
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    ops.gru_sequence(*leaves)
    assert ran[1:] == ["fused", "cuDNN", "fused"]


@pytest.mark.parametrize("fault", ["wrong", "not a number", "raises"])
def test_a_fault_is_told_and_the_library_taken(
    trials: Callable[[float, float], list[str]],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trials(1.0, 5.0)
    right = gru._by_fused

    def faulty(*given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if fault == "raises":
            raise RuntimeError("invalid device function")
        out, last = right(*given)
        return (out + 0.5 if fault == "wrong" else out * torch.nan), last

    monkeypatch.setattr(gru, "_by_fused", faulty)
    _, leaves = gru_inputs(9, 3, 5, 32)
    with caplog.at_level(logging.WARNING, "powqmix.ops"):
        found = ops.gru_sequence(*leaves)[0]
    assert torch.equal(found, ops.gru_sequence(*leaves, fused=False)[0])
    assert "cuDNN is taken" in caplog.text
    assert ("invalid device function" in caplog.text) == (fault == "raises")


def test_what_the_fused_kernels_cannot_take_is_not_tried(trials: Callable[[float, float], list[str]]) -> None:
    ran = trials(1.0, 5.0)
    ops.gru_sequence(*gru_inputs(9, 3, 5, 33)[1])
    assert ran == ["cuDNN"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_on_a_gpu_the_two_agree_and_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(gru.VARIABLE, raising=False)
    monkeypatch.setattr(gru_choice, "_choices", {})
    leaves = [t.detach().cuda() for t in gru_inputs(1024, 9, 64, 64)[1]]
    with caplog.at_level(logging.INFO, "powqmix.ops"):
        found = ops.gru_sequence(*leaves)[0]
    assert "fused kernels" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    (choice,) = gru_choice._choices.values()
    assert torch.equal(found, ops.gru_sequence(*leaves, fused=choice)[0])
