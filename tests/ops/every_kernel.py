"""Runs every kernel on CUDA once, forward and backward, at odd sizes, and compares: for compute-sanitizer.

compute-sanitizer --tool memcheck python -m tests.ops.every_kernel
"""

from __future__ import annotations

import dataclasses

import torch

from powqmix import ops
from powqmix.types import EnvSpec, episode_schema

from ..learner.decoding import check_decoding
from .cases import NAMES, make
from .gru_cases import exact_results, gru_inputs

SIZES = ((1, 1, 1, 1), (3, 33, 5, 7), (2, 300, 3, 64), (2, 5, 27, 36), (5, 9, 2, 129))
GRU_SIZES = ((1, 1, 5, 32), (33, 7, 19, 64), (13, 9, 3, 128))  # R, T, I, H


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("every_kernel: no CUDA device here")
    for name in NAMES:
        for size in SIZES:
            case = make(name, *size, seed=1)
            on_device = dataclasses.replace(case, inputs={n: t.cuda() for n, t in case.inputs.items()})
            found, wanted = on_device.run(), case.run()
            if case.differentiable:
                found = (*found, *on_device.gradients(exact=False))
                wanted = (*wanted, *case.gradients(exact=False))
            for got, exact in zip(found, wanted, strict=True):
                torch.testing.assert_close(got.cpu(), exact, rtol=1e-4, atol=1e-4)
    for rows, steps, inputs, hidden in GRU_SIZES:
        fused_gru(rows, steps, inputs, hidden)
    for rows, agents, actions, dtype in ((1, 1, 1, "float16"), (5, 3, 9, "float32"), (4, 7, 257, "float16")):
        check_decoding("cuda", episode_schema(EnvSpec("game", agents, actions, 13, 7, 33), dtype), rows, seed=1)
    torch.cuda.synchronize()
    print("every kernel ran")


def fused_gru(rows: int, steps: int, inputs: int, hidden: int) -> None:
    exact, leaves = gru_inputs(rows, steps, inputs, hidden)
    d_out, d_last = torch.randn(rows, steps, hidden), torch.randn(rows, hidden)
    leaves_there = [t.detach().cuda().requires_grad_() for t in leaves]
    out, last = ops.gru_sequence(*leaves_there, fused=True)
    found = (out, last, *torch.autograd.grad((out, last), leaves_there, (d_out.cuda(), d_last.cuda())))
    for got, wanted in zip(found, exact_results(exact, leaves, d_out, d_last), strict=True):
        torch.testing.assert_close(got.cpu().double(), wanted, rtol=1e-4, atol=1e-3)


if __name__ == "__main__":
    main()
