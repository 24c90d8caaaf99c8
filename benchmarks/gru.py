"""The GRU over whole sequences, forward and backward: ops.gru_sequence against torch.nn.GRU and a loop of GRUCells.

    python benchmarks/gru.py [--rows 1024] [--steps 200] [--threads 1 2] [--repeats 5] [--json FILE]
    python benchmarks/gru.py --device cuda [--size 64]      # the fused kernels beside cuDNN, captured in graphs

All sides run in turns in one process, so that what else the machine does meets them alike; the ratio is that of the
medians, of ours in float32 to the faster of torch's two. Where the processor has instructions for it, ours runs in
bfloat16 too. `cpu` is the processor time of all threads, which waiting for a core does not add to. On CUDA
both are calls of ops.gru_sequence, forward and backward, and the time is the device's for replaying a graph of one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import powqmix._C as _C
import torch
from machine import describe, write_results  # benchmarks/machine.py
from torch import Tensor, nn

from powqmix import ops
from powqmix.process import keep_freed_memory

OURS, FUSED, CUDNN = "ops.gru_sequence", "ops.gru_sequence, fused", "ops.gru_sequence, cuDNN"
TOLERANCE = 1e-3  # between the sides on CUDA, relative: more is a fault, not rounding
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


def sides_on_cuda(rows: int, steps: int, size: int) -> dict[str, Callable[[], list[Tensor]]]:
    """As `sides`: the fused kernels and cuDNN."""
    torch.manual_seed(0)
    weights = [w.detach().cuda().requires_grad_() for w in nn.GRU(size, size, batch_first=True).parameters()]
    x, h0, d_out = torch.randn(rows, steps, size), torch.randn(rows, size), torch.randn(rows, steps, size).cuda()
    leaves = [x.cuda().requires_grad_(), h0.cuda().requires_grad_(), *weights]

    def call(fused: bool) -> list[Tensor]:
        out, _ = ops.gru_sequence(*leaves, fused=fused)
        return [out, *torch.autograd.grad(out, leaves, d_out)]

    return {FUSED: lambda: call(True), CUDNN: lambda: call(False)}


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    """Between two sides' results, relative to the largest number of each tensor (at least 1)."""
    return max(
        float((a - b).detach().abs().max() / b.detach().abs().max().clamp(min=1.0))
        for a, b in zip(one, other, strict=True)
    )


def graphed(call: Callable[[], list[Tensor]]) -> Callable[[], float]:
    """A replay of `call` as a graph, which returns the device's milliseconds."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def replay() -> float:
        started.record()
        graph.replay()
        ended.record()
        torch.cuda.synchronize()
        return started.elapsed_time(ended)

    return replay


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


def on_cpu(arguments: argparse.Namespace, flop: float) -> dict[str, Any]:
    """What the results file says of the CPU; prints it too."""
    keep_freed_memory()  # as the learner does
    calls = sides(arguments.rows, arguments.steps, arguments.size)
    torch.set_num_threads(max(arguments.threads))
    difference = largest_difference(calls[OURS](), calls["torch.nn.GRU"]())
    print(f"difference {difference:.1e}")
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
    return {"largest_difference": difference, "results": results}


def on_cuda(arguments: argparse.Namespace, flop: float) -> dict[str, Any]:
    """What the results file says of the GPU; prints it too. Ends the program where the two sides differ."""
    if not torch.cuda.is_available():
        sys.exit("gru.py: no CUDA device here; leave --device out for the CPU")
    calls = sides_on_cuda(arguments.rows, arguments.steps, arguments.size)
    difference = largest_difference(calls[FUSED](), calls[CUDNN]())
    if difference > TOLERANCE:
        sys.exit(f"gru.py: the fused kernels and cuDNN are {difference:.1e} apart")
    replays = {name: graphed(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in replays}
    for turn in range(arguments.repeats + 1):
        for name, replay in replays.items():
            milliseconds = replay()
            if turn > 0:  # the first warms up
                times[name].append(milliseconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{torch.cuda.get_device_name()}; difference {difference:.1e}")
    for name, milliseconds in medians.items():
        print(f"{name:<28}{milliseconds:9.3f} ms {1e-6 * flop / milliseconds:9.1f} GFLOP/s")
    ratio = medians[CUDNN] / medians[FUSED]
    print(f"ratio {ratio:.2f}", flush=True)
    found = {"gpu": torch.cuda.get_device_name(), "largest_difference": difference, "ms": medians, "ratio": ratio}
    return {**found, "best_ms": {name: min(values) for name, values in times.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=64, help="inputs and hidden units")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    flop = FLOP_A_STEP * arguments.size**2 * arguments.rows * arguments.steps
    print(f"{arguments.rows} rows x {arguments.steps} steps, I = H = {arguments.size}")
    found = (on_cuda if arguments.device == "cuda" else on_cpu)(arguments, flop)
    if arguments.json:
        report = {
            **describe(), "command": " ".join(["python", *sys.argv]), "torch": torch.__version__,
            "rows": arguments.rows, "steps": arguments.steps, "size": arguments.size, "repeats": arguments.repeats,
            **found,
        }  # fmt: skip
        write_results(arguments.json, report)


if __name__ == "__main__":
    main()
