"""Every op against its statement in plain PyTorch, both sides in one call, and how near it comes to copying memory.

    python benchmarks/kernels.py [--env predator_prey] [--device cuda] [--json FILE]

`GB/s` counts what an op must read and write once; `of copy` is its share of what copying a large tensor reaches on the
same device, measured in the same call: 100 % would be the memory roofline.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe  # benchmarks/machine.py

from powqmix import config, envs, ops
from powqmix.cli.profile_kernels import Case, compare, make_cases

COPY_BYTES = 256 * 2**20


def copy_bandwidth(device: torch.device) -> float:
    """GB/s of a copy (read and written bytes together), the best of ten."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        synchronise(device)
        started = time.perf_counter()
        target.copy_(source)
        synchronise(device)
        best = max(best, 2e-9 * COPY_BYTES / (time.perf_counter() - started))
    return best


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def moved_bytes(case: Case) -> int:
    """What the op reads and writes once, forward; with a gradient, the inputs again and the gradients."""
    inputs = sum(t.nbytes for t in case.inputs)
    results = getattr(ops, case.op)(*case.inputs, **case.constants)
    outputs = sum(t.nbytes for t in (results if isinstance(results, tuple) else (results,)))
    backward = inputs + sum(case.inputs[i].nbytes for i in case.differentiated) if case.differentiated else 0
    return inputs + outputs + backward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="predator_prey", help="environment whose sizes are taken")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each op, both sides together")
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    resolved, device = config.resolve(arguments.env), torch.device(arguments.device)
    spec = envs.spec(resolved.env_id, **resolved.env)
    torch.set_num_threads(1)
    shape = {"B": resolved.training.batch_size, "T": spec.episode_limit, "N": spec.n_agents, "A": spec.n_actions}
    copy = copy_bandwidth(device)
    print(f"{arguments.env} {shape} on {device}; a copy reaches {copy:.1f} GB/s")
    print(f"{'op':<34}{'ms':>9}{'reference':>11}{'ratio':>8}{'GB/s':>8}{'of copy':>9}")
    rows: list[dict[str, Any]] = []
    for case in make_cases(resolved, shape["B"], shape["T"], shape["N"], shape["A"], device):
        row = compare(case, arguments.seconds, lambda: synchronise(device))
        row["gb_per_s"] = 1e-6 * moved_bytes(case) / row["ms"]
        row["share_of_copy"] = row["gb_per_s"] / copy
        rows.append(row)
        print(
            f"{row['op']:<34}{row['ms']:>9.3f}{row['reference_ms']:>11.3f}{row['ratio']:>7.1f}x"
            f"{row['gb_per_s']:>8.1f}{100 * row['share_of_copy']:>8.0f}%",
            flush=True,
        )
    if arguments.json:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "one core"
        result = {
            "command": " ".join(sys.argv), **describe(), "device": name, "env": arguments.env, "shape": shape,
            "copy_gb_per_s": copy, "rows": rows,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
