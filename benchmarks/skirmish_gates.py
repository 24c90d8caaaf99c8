"""How hard each skirmish map is: win rates and returns of fixed policies, the table of docs/skirmish.md.

    python benchmarks/skirmish_gates.py --json benchmarks/results/skirmish_gates.json

`random`, `nearest` and `weakest` play the agents' actions; `mirror` is the enemies' own computer on the agents' side,
which on a symmetric map must win as often as it loses.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

from machine import describe, write_results  # benchmarks/machine.py

from powqmix.envs.skirmish import Options
from powqmix.envs.skirmish_gates import POLICIES, SYMMETRIC, measure
from powqmix.envs.skirmish_maps import map_names


def tabulate(results: list[dict[str, Any]]) -> str:
    """Markdown: a row a map, win rate and return of each policy."""
    cells = {(r["map"], r["policy"]): r for r in results}
    maps, policies = (list(dict.fromkeys(r[key] for r in results)) for key in ("map", "policy"))
    rows = ["| map | " + " | ".join(policies) + " |", "|---" * (len(policies) + 1) + "|"]
    for name in maps:
        row = [name]
        for policy in policies:
            r = cells.get((name, policy))
            draws = f", {100 * r['draw_rate']:.0f} % draws" if r and r["draw_rate"] >= 0.005 else ""
            row.append(f"{100 * r['win_rate']:.1f} % ({r['return_mean']:.1f}){draws}" if r else "")
        rows.append("| " + " | ".join(row) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", nargs="+", default=map_names())
    parser.add_argument("--policy", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--episodes", type=int, default=1024)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", default="liberty")
    parser.add_argument("--json", type=Path, help="file for command, date, machine, commit and every figure")
    arguments = parser.parse_args()

    started = time.perf_counter()
    results = []
    for name in arguments.map:
        for policy in arguments.policy:
            if policy == "mirror" and name not in SYMMETRIC:
                continue
            options = Options(profile=arguments.profile, mirror=policy == "mirror")
            results.append(measure(name, policy, arguments.episodes, arguments.num_envs, arguments.seed, options))
    print(tabulate(results))
    if arguments.json is not None:
        record = {
            "command": "python " + " ".join(sys.argv),
            **describe(),
            "what": "win rate and mean return of fixed policies, skirmish v2; standard error of a win rate of one half "
            f"over {arguments.episodes} episodes: {50 / math.sqrt(arguments.episodes):.1f} %",
            "seconds": round(time.perf_counter() - started, 1),
            "results": results,
        }
        write_results(arguments.json, record)


if __name__ == "__main__":
    main()
