"""Runs every CUDA kernel once, forward and backward, at odd sizes, and compares: for sanitizers.

compute-sanitizer --tool memcheck python -m tests.ops.every_kernel
python -m tests.ops.every_kernel --emulated        # on the CPU; `make sanitize` does so under the address sanitizer
"""

from __future__ import annotations

import argparse
import dataclasses

import pytest
import torch
from torch import Tensor

from powqmix import ops
from powqmix.types import EnvSpec, episode_schema

from .. import cuda_emulation
from ..learner.decoding import check_decoding
from .cases import NAMES, Case, make
from .gru_cases import exact_results, gru_inputs

SIZES = ((1, 1, 1, 1), (3, 33, 5, 7), (2, 300, 3, 64), (2, 5, 27, 36), (5, 9, 2, 129))
GRU_SIZES = ((1, 1, 5, 32), (33, 7, 19, 64), (13, 9, 3, 128))  # R, T, I, H
STORED = ((1, 1, 1, "float16"), (5, 3, 9, "float32"), (4, 7, 257, "float16"))  # rows, N, A, of observations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulated", action="store_true", help="on the CPU, on emulated grids")
    emulated = parser.parse_args().emulated
    if not emulated and not torch.cuda.is_available():
        raise SystemExit("every_kernel: no CUDA device here; --emulated needs none")
    cases = [make(name, *size, seed=1) for name in NAMES for size in SIZES]
    wanted = [everything(case) for case in cases]  # by the kernels of the CPU
    with pytest.MonkeyPatch.context() as patch:
        device = "cpu" if emulated else "cuda"
        if emulated:
            cuda_emulation.use(patch)
        for case, right in zip(cases, wanted, strict=True):
            there = dataclasses.replace(case, inputs={n: t.to(device) for n, t in case.inputs.items()})
            for got, exact in zip(everything(there), right, strict=True):
                torch.testing.assert_close(got.cpu(), exact, rtol=1e-4, atol=1e-4)
        for size in GRU_SIZES:
            fused_gru(device, *size)
        for rows, agents, actions, dtype in STORED:
            check_decoding(device, episode_schema(EnvSpec("game", agents, actions, 13, 7, 33), dtype), rows, seed=1)
    if not emulated:
        torch.cuda.synchronize()
    print("every kernel ran")


def everything(case: Case) -> list[Tensor]:
    """Results, and gradients if there are any."""
    return [*case.run(), *(case.gradients(exact=False) if case.differentiable else [])]


def fused_gru(device: str, rows: int, steps: int, inputs: int, hidden: int) -> None:
    exact, leaves = gru_inputs(rows, steps, inputs, hidden)
    d_out, d_last = torch.randn(rows, steps, hidden), torch.randn(rows, hidden)
    leaves_there = [t.detach().to(device).requires_grad_() for t in leaves]
    out, last = ops.gru_sequence(*leaves_there, fused=True)
    found = (out, last, *torch.autograd.grad((out, last), leaves_there, (d_out.to(device), d_last.to(device))))
    for got, wanted in zip(found, exact_results(exact, leaves, d_out, d_last), strict=True):
        torch.testing.assert_close(got.cpu().double(), wanted, rtol=1e-4, atol=1e-3)


if __name__ == "__main__":
    main()
