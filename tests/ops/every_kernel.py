"""Runs every kernel on CUDA once, forward and backward, at odd sizes, and compares: for compute-sanitizer.

compute-sanitizer --tool memcheck python -m tests.ops.every_kernel
"""

from __future__ import annotations

import dataclasses

import torch

from powqmix.types import EnvSpec, episode_schema

from ..learner.decoding import check_decoding
from .cases import NAMES, make

SIZES = ((1, 1, 1, 1), (3, 33, 5, 7), (2, 300, 3, 64), (2, 5, 27, 36), (5, 9, 2, 129))


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
    for rows, agents, actions, dtype in ((1, 1, 1, "float16"), (5, 3, 9, "float32"), (4, 7, 257, "float16")):
        check_decoding("cuda", episode_schema(EnvSpec("game", agents, actions, 13, 7, 33), dtype), rows, seed=1)
    torch.cuda.synchronize()
    print("every kernel ran")


if __name__ == "__main__":
    main()
