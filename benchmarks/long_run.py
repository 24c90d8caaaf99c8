"""A run's speed, part by part, and how long 10 million environment steps would take at it.

    powqmix-launch --env skirmish/3s5z_vs_3s6z --algorithm powqmix --actors 2 --run-dir runs/hour
    python benchmarks/long_run.py runs/hour [--minutes 10] [--json benchmarks/results/hour.json]

Everything is read from what the run wrote: metrics.jsonl, run.json, summary.json. With --json a table goes to a
Markdown file beside it.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import write_results

MANY = 10_000_000


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def parts(lines: list[dict[str, Any]], seconds: float) -> Iterator[dict[str, float]]:
    """Rates over each `seconds` of the run; a last part of less than half of that belongs to the one before."""
    end = lines[-1]["wall_time_s"]
    start = {"wall_time_s": 0.0, "env_steps": 0, "updates": 0, "episodes": 0}
    for place, line in enumerate(lines):
        passed, left = line["wall_time_s"] - start["wall_time_s"], end - line["wall_time_s"]
        if (passed >= seconds and left >= seconds / 2) or place == len(lines) - 1:
            steps, updates = line["env_steps"] - start["env_steps"], line["updates"] - start["updates"]
            yield {
                "until_s": line["wall_time_s"],
                "env_steps_per_second": steps / passed,
                "seconds_per_update": passed / max(updates, 1),
                "episode_length": steps / max(line["episodes"] - start["episodes"], 1),
            }
            start = line


def measure(run: Path, minutes: float) -> dict[str, Any]:
    started, summary = (json.loads((run / name).read_text(encoding="utf-8")) for name in ("run.json", "summary.json"))
    rate = summary["env_steps"] / summary["wall_time_s"]
    command = shlex.split(started["command"])
    if "--run-dir" in command:  # only where it was put
        place = command.index("--run-dir")
        del command[place : place + 2]
    kept = ("env", "algorithm", "preset", "env_steps", "episodes", "updates", "wall_time_s", "test_return_mean",
            "test_win_rate", "episodes_lost", "bottleneck")  # fmt: skip
    return {
        "command": shlex.join([Path(command[0]).name, *command[1:]]),
        "date": started["started"][:10],
        "machine": f"{started['machine']['processor']}, {started['machine']['cores']} cores",
        "commit": started["git"],
        **{name: summary[name] for name in kept},
        "env_steps_per_second": rate,
        "hours_to_10m_steps": MANY / rate / 3600,
        "parts": list(parts(read_lines(run / "metrics.jsonl"), 60 * minutes)),
    }


def markdown(found: dict[str, Any]) -> str:
    lines = [
        f"`{found['command']}`, {found['machine']}, {found['date']}, commit {found['commit']}",
        "",
        f"{found['env_steps']:,} environment steps, {found['episodes']:,} episodes and {found['updates']:,} updates in "
        f"{found['wall_time_s'] / 60:.0f} minutes: {found['env_steps_per_second']:.0f} steps/s, at which 10 million "
        f"would take {found['hours_to_10m_steps']:.1f} h. The {found['bottleneck']} limited. Last test: return "
        f"{found['test_return_mean']:.1f}, win rate {100 * found['test_win_rate']:.0f} %.",
        "",
        "| until minute | env steps/s | s an update | steps an episode |",
        "|---" * 4 + "|",
    ]
    for part in found["parts"]:
        lines.append(
            f"| {part['until_s'] / 60:.0f} | {part['env_steps_per_second']:.0f} | {part['seconds_per_update']:.2f} "
            f"| {part['episode_length']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each part")
    parser.add_argument("--json", type=Path, help="write the figures here, and a table beside it")
    arguments = parser.parse_args()
    if not (arguments.run / "summary.json").exists():
        parser.error(f"{arguments.run} holds no run that has ended (no summary.json); give a run's folder")
    found = measure(arguments.run, arguments.minutes)
    print(markdown(found), end="")
    if arguments.json:
        write_results(arguments.json, found, markdown(found))


if __name__ == "__main__":
    main()
