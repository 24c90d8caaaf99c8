"""The GRU over whole sequences, forward and backward: ops.gru_sequence against torch.nn.GRU and a loop of GRUCells.

    python benchmarks/gru.py [--rows 1024] [--steps 200] [--threads 1 2] [--repeats 5] [--json FILE]

All sides run in turns in one process, so that what else the machine does meets them alike; the ratio is that of the
medians, of ours in float32 to the faster of torch's two. Where the processor has instructions for it, ours runs in
bfloat16 too. `cpu` is the processor time of all threads, which waiting for a core does not add
to.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import powqmix._C as _C
import torch
from machine import describe  # benchmarks/machine.py
from torch import Tensor, nn

from powqmix import ops
from powqmix.process import keep_freed_memory

OURS = "ops.gru_sequence"
FLOP_A_STEP = 36  # forward 12 H^2 a row and step where I = H, backward twice as much


def sides(rows: int, steps: int, size: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Name -> a call that gives the outputs and the gradients of x, h0 and the weights."""
    torch.manual_seed(0)
    gru, cell = nn.GRU(size, size, batch_first=True), nn.GRUCell(size, size)
    weights, of_cell = list(gru.parameters()), list(cell.parameters())
    with torch.no_grad():
        for to, value in zip(of_cell, weights, strict=True):
            to.copy_(value)
    x, h0 = torch.randn(rows, steps, size, requires_grad=True), torch.randn(rows, size, requires_grad=True)
    d_out = torch.randn(rows, steps, size)
    # The loop has its steps apart in memory, which is the best for it.
    x_by_step = x.detach().transpose(0, 1).contiguous().requires_grad_()
    d_by_step = d_out.transpose(0, 1).contiguous()

    def ours() -> list[Tensor]:
        out, _ = ops.gru_sequence(x, h0, *weights)
        return [out, *torch.autograd.grad(out, [x, h0, *weights], d_out)]

    def library() -> list[Tensor]:
        out, _ = gru(x, h0.unsqueeze(0))
        return [out, *torch.autograd.grad(out, [x, h0, *weights], d_out)]

    def loop() -> list[Tensor]:
        h, outs = h0, []
        for x_t in x_by_step.unbind(0):
            h = cell(x_t, h)
            outs.append(h)
        out = torch.stack(outs)
        d_x, *others = torch.autograd.grad(out, [x_by_step, h0, *of_cell], d_by_step)
        return [out.transpose(0, 1), d_x.transpose(0, 1), *others]

    rounded = [t.detach().bfloat16().requires_grad_() for t in (x, h0)]
    d_rounded = d_out.bfloat16()

    def bfloat16() -> list[Tensor]:
        out, _ = ops.gru_sequence(*rounded, *weights)
        return [out, *torch.autograd.grad(out, [*rounded, *weights], d_rounded)]

    calls = {OURS: ours, "torch.nn.GRU": library, "GRUCell loop": loop}
    return calls | {f"{OURS}, bfloat16": bfloat16} if _C.has_bfloat16() else calls


def largest_difference(calls: dict[str, Callable[[], list[Tensor]]]) -> float:
    """Of ours from nn.GRU, relative to the largest number of each tensor (at least 1)."""
    ours, library = calls[OURS](), calls["torch.nn.GRU"]()
    return max(
        float((one - other).detach().abs().max() / other.detach().abs().max().clamp(min=1.0))
        for one, other in zip(ours, library, strict=True)
    )


def timed(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            wall_before, cpu_before = time.perf_counter(), time.process_time()
            call()
            if turn > 0:  # the first warms up
                wall[name].append(time.perf_counter() - wall_before)
                cpu[name].append(time.process_time() - cpu_before)
    return {
        name: {"ms": 1e3 * statistics.median(wall[name]), "cpu_ms": 1e3 * statistics.median(cpu[name])}
        for name in calls
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=64, help="inputs and hidden units")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    flop = FLOP_A_STEP * arguments.size**2 * arguments.rows * arguments.steps
    keep_freed_memory()  # as the learner does
    calls = sides(arguments.rows, arguments.steps, arguments.size)
    torch.set_num_threads(max(arguments.threads))
    difference = largest_difference(calls)
    print(f"{arguments.rows} rows x {arguments.steps} steps, I = H = {arguments.size}; difference {difference:.1e}")
    results = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        found = timed(calls, arguments.repeats)
        ours, others = found[OURS], [found[name] for name in found if not name.startswith(OURS)]
        ratios = {key: min(other[key] for other in others) / ours[key] for key in ours}
        results.append({"threads": threads, "sides": found, "ratio": ratios["ms"], "cpu_ratio": ratios["cpu_ms"]})
        for name, row in found.items():
            print(f"{threads} threads  {name:<28}{row['ms']:9.1f} ms {row['cpu_ms']:9.1f} ms cpu "
                  f"{1e-6 * flop / row['ms']:7.1f} GFLOP/s")  # fmt: skip
        print(f"{threads} threads  ratio {ratios['ms']:.2f}, by cpu time {ratios['cpu_ms']:.2f}", flush=True)
    if arguments.json:
        report = {
            **describe(), "command": " ".join(["python", *sys.argv]), "torch": torch.__version__,
            "rows": arguments.rows, "steps": arguments.steps, "size": arguments.size, "repeats": arguments.repeats,
            "largest_difference": difference, "results": results,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
