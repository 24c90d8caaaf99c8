"""The fused ops, forward and backward, beside plain PyTorch and torch.compile, all in one process and in turns.

    python benchmarks/kernels.py [--threads 1 2] [--quick] [--json benchmarks/results/kernels_cpu.json]
    python benchmarks/kernels.py --device cuda --json benchmarks/results/gpu/kernels.json

Columns: `eager` is what a good user of PyTorch writes, with a loop over time; `vectorised` has a scan of log2 T steps
in its place; `compiled` is that under torch.compile, at two of the sizes. `GB/s` counts what the ops must read and
write once; `of copy` is its share of what copying a large tensor reaches (read and written bytes together) on the same
device in the same run: 100 % is the memory roofline, and more is the caches' doing. On a CPU, freed memory is kept by
malloc for all sides alike, as the learner has it: without, most of eager's time is page faults. On CUDA, each side is
a graph over inputs that together are larger than the caches. Beside the JSON a Markdown table is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from kernel_problems import Problem, Sizes, difference, makers, run
from machine import describe, write_results

from powqmix.process import keep_freed_memory

BATCH = 128
SIZES = [Sizes(BATCH, *s) for s in ((60, 3, 9), (120, 5, 11), (200, 8, 15), (180, 27, 36), (400, 6, 30))]
HEADLINES = SIZES[2:4]  # where torch.compile is measured too: each compilation takes many seconds
FORMS = ("ours", "eager", "vectorised", "compiled")
COPY_BYTES = 256 * 2**20
ROTATED_BYTES = 512 * 2**20  # of inputs that a graph goes through on CUDA, about ten times the second cache
MOST_INPUTS = 12
TOLERANCE = 1e-5  # float32 sums in other orders

Timer = Callable[[], float]  # runs once, gives milliseconds


def copy_bandwidth(device: torch.device) -> float:
    """GB/s of a copy, read and written bytes together: the best of twenty."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(20):
        if device.type == "cuda":
            started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            started.record()
            target.copy_(source)
            ended.record()
            torch.cuda.synchronize()
            seconds = 1e-3 * started.elapsed_time(ended)
        else:
            clock = time.perf_counter()
            target.copy_(source)
            seconds = time.perf_counter() - clock
        best = max(best, 2e-9 * COPY_BYTES / seconds)
    return best


def on_cpu(form: str, problem: Problem) -> Timer:
    body = problem.forms[form]

    def timer() -> float:
        clock = time.perf_counter()
        run(body, problem)
        return 1e3 * (time.perf_counter() - clock)

    return timer


def on_cuda(form: str, rotated: list[Problem]) -> Timer:
    """A graph that takes every one of `rotated`; the time is that of one."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for problem in rotated * 2:
            run(rotated[0].forms[form], problem)
    torch.cuda.current_stream().wait_stream(aside)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for problem in rotated:
            run(rotated[0].forms[form], problem)
    started, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def timer() -> float:
        started.record()
        graph.replay()
        ended.record()
        torch.cuda.synchronize()
        return started.elapsed_time(ended) / len(rotated)

    return timer


def in_turns(timers: dict[str, Timer], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each, all called in turns for `seconds`, at least five times; one round to warm up."""
    for timer in timers.values():
        timer()
    times: dict[str, list[float]] = {name: [] for name in timers}
    end = time.perf_counter() + seconds
    while len(times["ours"]) < 5 or time.perf_counter() < end:
        for name, timer in timers.items():
            times[name].append(timer())
    return times


def with_compiled(problem: Problem) -> Problem:
    plain = problem.forms.get("vectorised", problem.forms["eager"])
    torch._dynamo.reset()
    return dataclasses.replace(
        problem, forms={**problem.forms, "compiled": torch.compile(plain, fullgraph=True, dynamic=False)}
    )


def measure(sizes: Sizes, device: torch.device, seconds: float, copy: float, *, compiled: bool) -> list[dict[str, Any]]:
    rows = []
    for make in makers(sizes, device):
        problem = make(0)
        if compiled:
            problem = with_compiled(problem)
        results = run(problem.forms["ours"], problem)
        for form, body in problem.forms.items():
            if (apart := difference(results, run(body, problem))) > TOLERANCE:
                sys.exit(f"{problem.name} at {tuple(sizes)}: {form} and ours are {apart:.1e} apart")
        if device.type == "cuda":
            count = min(MOST_INPUTS, 1 + ROTATED_BYTES // problem.moved_bytes)
            rotated = [problem, *(make(seed) for seed in range(1, count))]
            timers = {form: on_cuda(form, rotated) for form in problem.forms}
        else:
            timers = {form: on_cpu(form, problem) for form in problem.forms}
        times = in_turns(timers, seconds)
        ms = {form: statistics.median(values) for form, values in times.items()}
        rate = 1e-6 * problem.moved_bytes / ms["ours"]
        row = {
            "problem": problem.name, **sizes._asdict(),
            "ms": {form: round(value, 4) for form, value in ms.items()},
            "best_ms": {form: round(min(values), 4) for form, values in times.items()},
            "times_faster": {form: round(ms[form] / ms["ours"], 2) for form in ms if form != "ours"},
            "moved_mb": round(1e-6 * problem.moved_bytes, 2), "gb_per_s": round(rate, 2),
            "of_copy": round(rate / copy, 3),
        }  # fmt: skip
        rows.append(row)
        print(as_line(rows[-1]), flush=True)
    return rows


COLUMNS = ("op, forward + backward", "T, N, A", "ours, ms", *FORMS[1:], "faster than eager", "GB/s", "of copy")
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def as_line(row: dict[str, Any]) -> str:
    times = [f"{row['ms'][form]:.3g}" if form in row["ms"] else "" for form in FORMS]
    return (
        f"| {row['problem']} | {row['steps']}, {row['agents']}, {row['actions']} | {' | '.join(times)} | "
        f"{row['times_faster']['eager']:.1f}x | {row['gb_per_s']:.1f} | {100 * row['of_copy']:.0f} % |"
    )


def as_markdown(result: dict[str, Any]) -> str:
    lines = [
        f"`{result['command']}`, {result['machine']}, {result['date']}, commit {result['commit']}; B = {BATCH}.",
        "",
    ]
    for part in result["runs"]:
        lines += [f"{part['device']}; a copy reaches {part['copy_gb_per_s']:.1f} GB/s:", "", HEADER]
        lines += [*map(as_line, part["rows"]), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the CPU, one run for each")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each op and size, all sides together")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    parser.add_argument("--quick", action="store_true", help="a short run: two sizes, no torch.compile")
    parser.add_argument("--json", type=Path, help="file for the results; a table goes beside it as .md")
    parser.add_argument("--add", action="store_true", help="keep the runs that the file holds already")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("kernels.py: no CUDA device here; use --device cpu")
    keep_freed_memory()
    runs = []
    for threads in arguments.threads if device.type == "cpu" else [1]:
        torch.set_num_threads(threads)
        copy = copy_bandwidth(device)
        name = f"CPU, {threads} thread{'s'[: threads - 1]}" if device.type == "cpu" else torch.cuda.get_device_name()
        print(f"\n{name}; a copy reaches {copy:.1f} GB/s\n\n{HEADER}", flush=True)
        rows: list[dict[str, Any]] = []
        for sizes in SIZES[:3:2] if arguments.quick else SIZES:
            compiled = sizes in HEADLINES and not (arguments.quick or arguments.no_compile)
            seconds = 0.2 if arguments.quick else arguments.seconds
            rows += measure(sizes, device, seconds, copy, compiled=compiled)
        runs.append({"device": name, "copy_gb_per_s": round(copy, 2), "rows": rows})
    if arguments.json:
        if arguments.add and arguments.json.exists():
            runs = json.loads(arguments.json.read_text())["runs"] + runs
        command = " ".join(["python", *sys.argv])
        result = {"command": command, **describe(), "torch": torch.__version__, "batch": BATCH, "runs": runs}
        write_results(arguments.json, result, as_markdown(result))


if __name__ == "__main__":
    main()
