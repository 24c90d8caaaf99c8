"""Random play on skirmish beside random play in the real game, from training logs of SMAC that others have published.

    python benchmarks/beside_smac.py LOGS... --json benchmarks/results/beside_smac.json

LOGS are folders, searched to any depth for the logs that PyMARL and its kin leave: a `config.json` with `info.json` or
`cout.txt` beside it. The first line of such a log is of the run's first episodes (one, or as many as play side by
side), at epsilon 1: random legal actions. Logs with other rewards, another difficulty or other steps than SMAC's
usual ones are left out. Logs with one seed and the same first line count once: copies, or algorithms that began with
the same random actions.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from machine import describe, write_results  # benchmarks/machine.py

from powqmix.envs.skirmish import Options
from powqmix.envs.skirmish_gates import measure
from powqmix.envs.skirmish_maps import map_names

USUAL = {
    "difficulty": "7", "step_mul": 8, "move_amount": 2, "reward_sparse": False, "reward_only_positive": True,
    "reward_scale": True, "reward_scale_rate": 20, "reward_death_value": 10, "reward_win": 200,
}  # fmt: skip
MOST_SIDE_BY_SIDE = 8
NUMBERS = ("return_mean", "return_mean_T", "ep_length_mean", "epsilon", "battle_won_mean")


class First(NamedTuple):
    """What a log says of its first episodes: means over `episodes` of them."""

    episodes: int
    return_mean: float
    steps: float
    won: float


def first_line(folder: Path) -> dict[str, float]:
    """The first value of each of NUMBERS that the log in `folder` holds; empty if it cannot be read."""
    line = {}
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        for name in NUMBERS:
            if values := info.get(name):  # numbers of numpy are written as {"dtype": ..., "value": ...}
                line[name] = float(values[0]["value"] if isinstance(values[0], dict) else values[0])
        return line
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        pass
    try:
        text = (folder / "cout.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    blocks = text.split("Recent Stats")[1:]
    pairs = re.findall(r"(\w+):\s+(-?\d+(?:\.\d+)?)\s", blocks[0]) if blocks else []
    line = {name: float(value) for name, value in reversed(pairs)}
    return line | {"return_mean_T": line["t_env"]} if "t_env" in line else {}


def read_log(folder: Path) -> tuple[str, str, First] | None:
    """Map, seed and first episodes of the log in `folder`; None if it is not random play by SMAC's usual rules."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        options = config["env_args"]
        name, seed = options["map_name"], str(config.get("seed"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if any(str(options.get(key, value)) != str(value) for key, value in USUAL.items()):
        return None
    line = first_line(folder)
    if not set(NUMBERS[:4]) <= line.keys() or line["epsilon"] < 0.995:
        return None
    steps, total = line["ep_length_mean"], line["return_mean_T"]
    episodes = round(total / steps) if steps > 0 else 0
    if not 1 <= episodes <= MOST_SIDE_BY_SIDE or abs(episodes * steps - total) > 1:
        return None
    return name, seed, First(episodes, line["return_mean"], steps, line.get("battle_won_mean", 0.0))


def mean_and_error(logs: list[First], field: str) -> tuple[float, float]:
    """Mean over episodes, and its standard error from how logs differ; logs of n episodes count n times."""
    total = sum(log.episodes for log in logs)
    mean = sum(log.episodes * getattr(log, field) for log in logs) / total
    spread = sum(log.episodes * (getattr(log, field) - mean) ** 2 for log in logs) / max(1, len(logs) - 1)
    return mean, math.sqrt(spread / total)


def compare(name: str, logs: list[First], episodes: int, profile: str) -> dict[str, Any]:
    ours = measure(name, "random", episodes, 64, 1, Options(profile=profile))
    (mean, error), (steps, steps_error) = mean_and_error(logs, "return_mean"), mean_and_error(logs, "steps")
    return {
        "map": name, "logs": len(logs), "episodes": sum(log.episodes for log in logs),
        "smac_return": round(mean, 3), "smac_return_error": round(error, 3), "smac_steps": round(steps, 1),
        "smac_steps_error": round(steps_error, 1), "smac_win_rate": round(mean_and_error(logs, "won")[0], 4),
        "skirmish_return": ours["return_mean"], "skirmish_steps": ours["steps_mean"],
        "skirmish_win_rate": ours["win_rate"], "skirmish_episodes": ours["episodes"],
    }  # fmt: skip


def tabulate(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| map | episodes in the game | return there | on skirmish | steps there | on skirmish |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['map']} | {r['episodes']} | {r['smac_return']:.2f} ± {r['smac_return_error']:.2f} "
            f"| {r['skirmish_return']:.2f} | {r['smac_steps']:.1f} ± {r['smac_steps_error']:.1f} "
            f"| {r['skirmish_steps']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path, help="folders with logs; each counts as one source")
    parser.add_argument("--least", type=int, default=6, help="episodes that a map must have to be listed (%(default)s)")
    parser.add_argument("--episodes", type=int, default=4096, help="episodes of skirmish a map (%(default)s)")
    parser.add_argument("--profile", default="liberty")
    parser.add_argument("--json", type=Path, help="file for command, date, machine, commit, sources and every figure")
    arguments = parser.parse_args()

    started = time.perf_counter()
    found: dict[str, set[tuple[str, First]]] = defaultdict(set)
    sources = []
    for source in arguments.logs:
        logs = [log for path in sorted(source.rglob("config.json")) if (log := read_log(path.parent))]
        logs = [log for log in logs if log[0] in map_names()]
        for name, seed, first in logs:
            found[name].add((seed, first))
        if logs:
            sources.append(source.name)
    if not found:
        parser.error("no logs of SMAC in " + ", ".join(map(str, arguments.logs)))
    enough = {name: [first for _, first in sorted(found[name])] for name in map_names() if name in found}
    enough = {name: logs for name, logs in enough.items() if sum(log.episodes for log in logs) >= arguments.least}
    rows = [compare(name, logs, arguments.episodes, arguments.profile) for name, logs in enough.items()]
    table = tabulate(rows)
    print(table, end="")
    if arguments.json is not None:
        results = {
            "command": "python benchmarks/beside_smac.py LOGS...",
            **describe(),
            "what": f"random play: means ± standard error in the real game, skirmish profile {arguments.profile}",
            "sources": sources,
            "seconds": round(time.perf_counter() - started, 1),
            "results": rows,
        }
        write_results(arguments.json, results, table)


if __name__ == "__main__":
    main()
