"""Emulated grids find what is wrong with a kernel, and nothing is wrong with ours."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from .. import cuda_emulation
from .cases import NAMES, make

ORDERS = (0, 1, 2, 3)  # ascending, descending, two shuffled ones
HERE = Path(__file__).parent


@cache
def broken() -> Path:
    sources = [HERE / "broken_kernels.cu", cuda_emulation.CSRC / "emulation" / "grid.cpp"]
    return cuda_emulation.build("broken", sources)


def told(name: str, *arguments: object) -> str:
    """What the launch was refused with; empty if it was not."""
    function: Callable[..., bytes] = getattr(ctypes.CDLL(str(broken())), name)
    function.restype = ctypes.c_char_p  # type: ignore[attr-defined]
    return function(*arguments).decode()


def sums(order: int, *, barrier: bool) -> list[float]:
    out = (ctypes.c_float * 3)()
    assert told("sum", ctypes.c_uint64(order), int(barrier), 3, out) == ""
    return list(out)


def test_a_missing_barrier_is_seen_in_another_order() -> None:
    assert all(sums(order, barrier=True) == [2016.0] * 3 for order in ORDERS)
    assert any(sums(order, barrier=False) != [2016.0] * 3 for order in ORDERS)


def test_a_shuffle_wants_all_lanes_of_its_warp() -> None:
    out = (ctypes.c_float * 64)()
    assert told("lane_leaves", 64, -1, out) == ""
    assert list(out[:4]) == [1.0, 0.0, 3.0, 2.0]
    assert "lane_leaves: thread 37 takes no part in a shuffle of its warp" in told("lane_leaves", 64, 37, out)
    assert "a warp that is not whole" in told("lane_leaves", 40, -1, out)
    assert told("lane_leaves", 64, -1, out) == ""  # a refusal leaves nothing behind


def test_what_a_gpu_refuses_is_refused() -> None:
    assert told("beyond", 16, 15) == ""
    assert "beyond: a write beyond the block's shared memory" in told("beyond", 16, 16)
    assert "0 x 1 x 1 blocks" in told("launches", 0, 32, 16)
    assert "1025 threads in a block" in told("launches", 1, 1025, 16)
    assert "49153 bytes of shared memory" in told("launches", 1, 32, ctypes.c_size_t(49153))
    assert told("launches", 1, 1024, ctypes.c_size_t(49152)) == ""


def test_a_pack_at_an_odd_address_ends_the_process() -> None:
    program = (
        "import ctypes, sys\n"
        "memory = (ctypes.c_double * 8)(); start = ctypes.addressof(memory); start += -start % 16\n"
        "ctypes.CDLL(sys.argv[1]).copy(ctypes.c_void_p(start + int(sys.argv[2])), ctypes.c_void_p(start + 32))"
    )
    codes = [subprocess.run([sys.executable, "-c", program, broken(), odd]).returncode for odd in ("0", "4")]
    assert codes[0] == 0
    assert codes[1] < 0  # by a signal


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(33, 33, 5, 9), (2, 300, 3, 64), (3, 40, 4, 70), (2, 300, 33, 3)])
def test_no_result_depends_on_the_order_of_threads(
    name: str, size: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one would read what another writes: a race on a GPU."""
    found: list[list[Tensor]] = []
    for order in ORDERS:
        cuda_emulation.use(monkeypatch, order)
        case = make(name, *size, seed=7, hostile=False)
        found.append([*case.run(), *(case.gradients(exact=False) if case.differentiable else [])])
    for again in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], again, strict=True))
