"""Trains the matrix game over seeds and tabulates what each run ended with, beside the paper's Table 1.

    python benchmarks/matrix.py --algorithms powqmix qmix --seeds 10

Each run is `powqmix-launch --env matrix/powqmix --algorithm X --preset paper --seed S`. Writes
benchmarks/results/matrix.json (command, date, machine, commit, every run) and matrix.md (the table).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe, write_results  # benchmarks/machine.py

RESULTS = Path(__file__).parent / "results"
ACTIONS = "ABC"


def train(algorithm: str, seed: int, folder: Path) -> dict[str, Any]:
    """One run; its summary, with the wall-clock seconds of the whole command."""
    command = [
        sys.executable, "-m", "powqmix.cli.main", "launch", "--env", "matrix/powqmix", "--algorithm", algorithm,
        "--preset", "paper", "--seed", str(seed), "--run-dir", str(folder), "--json",
    ]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary | {"command_s": round(time.monotonic() - started, 1)}


def tabulate(runs: list[dict[str, Any]]) -> str:
    """Markdown: a row a run."""
    rows = [
        "| algorithm | seed | greedy joint action | Q_tot(A,A) | Q_tot(C,C) | largest error of Q_r | updates | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        q_tot = run["q_tot"]
        action = "(" + ",".join(ACTIONS[a] for a in run["greedy_joint_action"]) + ")"
        error = "-" if run["q_r_error"] is None else f"{run['q_r_error']:.3f}"
        rows.append(
            f"| {run['algorithm']} | {run['seed']} | {action} | {q_tot[0][0]:.3f} | {q_tot[2][2]:.3f} | {error} "
            f"| {run['updates']} | {run['command_s']:.0f} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", default=["powqmix", "qmix"])
    parser.add_argument("--seeds", type=int, default=10, help="seeds 0 .. N-1 for each algorithm")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of matrix.json and matrix.md")
    arguments = parser.parse_args()

    from powqmix import envs

    arguments.out.mkdir(parents=True, exist_ok=True)
    payoff = envs.make("matrix/powqmix").payoff
    runs: list[dict[str, Any]] = []
    for algorithm in arguments.algorithms:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = train(algorithm, seed, Path(folder) / "run")
            q_r = run["q_r"]
            run["q_r_error"] = None if q_r is None else float(abs(payoff - q_r).max())
            runs.append(run)
            table = tabulate(runs)
            print(table.splitlines()[-1], flush=True)
            # Written after every run: what was measured is kept if the rest is not waited for.
            result = {"command": " ".join(sys.argv), **describe(), "payoff": payoff.tolist(), "runs": runs}
            told = f"`{result['command']}`, {result['date']}, {result['machine']}"
            write_results(arguments.out / "matrix.json", result, f"# Matrix game, preset paper\n\n{told}\n\n{table}")
    print(table)
    for algorithm in arguments.algorithms:
        mine = [r for r in runs if r["algorithm"] == algorithm]
        best = sum(r["greedy_joint_action"] == [0, 0] for r in mine)
        print(
            f"{algorithm}: {best} of {len(mine)} at (A,A), "
            f"median {statistics.median(r['command_s'] for r in mine):.0f} s a run"
        )


if __name__ == "__main__":
    main()
