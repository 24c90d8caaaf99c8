"""benchmarks/beside_smac.py: which lines of which logs count as random play in the real game."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "beside_smac.py"


def write_log(folder: Path, seed: int, first: dict[str, float], cout: bool = False, **options: Any) -> None:
    """A log of one run: the first line as given, at time step 1000 another one that must not count."""
    folder.mkdir(parents=True)
    env_args = {"map_name": "3m", "difficulty": "7", "step_mul": 8, "reward_sparse": False} | options
    (folder / "config.json").write_text(json.dumps({"name": "qmix", "seed": seed, "env_args": env_args}))
    if cout:
        numbers = "\n".join(f"{name}:  {value}\t" for name, value in first.items() if name != "return_mean_T")
        line = f"Recent Stats | t_env: {first['return_mean_T']:.0f} | Episode: 1\n{numbers}\n"
        (folder / "cout.txt").write_text(f"on 127.0.0.1: begin\n{line}at_host: 10.0.0.1\n{line.replace('1', '9')}")
    else:
        info: dict[str, Any] = {name: [value, 99.0] for name, value in first.items()}
        info["return_mean"][0] = {"dtype": "float64", "value": first["return_mean"]}
        info["other"] = [{"py/object": "something"}]
        (folder / "info.json").write_text(json.dumps(info))


def line(return_mean: float, steps: float = 20, episodes: int = 1, epsilon: float = 1.0) -> dict[str, float]:
    return {"return_mean": return_mean, "ep_length_mean": steps, "return_mean_T": steps * episodes, "epsilon": epsilon}


def compare(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments, "--least", "1", "--episodes", "64"]
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)


def test_first_lines_of_random_play_count_once_each(tmp_path: Path) -> None:
    logs = tmp_path / "logs" / "results"
    write_log(logs / "1", 1, line(1.0))
    write_log(logs / "2", 2, line(2.0, steps=30, episodes=8))
    write_log(logs / "3", 3, line(1.0), cout=True)
    write_log(logs / "copy", 1, line(1.0))
    write_log(logs / "easy", 4, line(19.0), difficulty="4")
    write_log(logs / "sparse", 5, line(19.0), reward_sparse=True)
    write_log(logs / "late", 6, line(19.0, episodes=500))
    write_log(logs / "trained", 7, line(19.0, epsilon=0.9))
    write_log(logs / "unknown", 8, line(19.0), map_name="9z")
    (logs / "broken").mkdir()
    (logs / "broken" / "config.json").write_text("{")
    done = compare(tmp_path, str(tmp_path / "logs"), "--json", "out.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out.json").read_text())
    (row,) = results["results"]
    assert results["sources"] == ["logs"]
    assert (row["map"], row["logs"], row["episodes"]) == ("3m", 3, 10)
    assert row["smac_return"] == pytest.approx((1 + 1 + 8 * 2) / 10, abs=1e-3)
    assert row["smac_steps"] == pytest.approx((20 + 20 + 8 * 30) / 10, abs=0.1)
    # Of a mean of 10 episodes: sum n (x - mean)^2 / (logs - 1) is the variance of one, here 1.6 / 2.
    assert row["smac_return_error"] == pytest.approx((0.8 / 10) ** 0.5, abs=1e-3)
    assert 1.0 < row["skirmish_return"] < 2.0
    assert "| 3m | 10 | 1.80 ± 0.28 |" in done.stdout


def test_without_logs_it_says_so(tmp_path: Path) -> None:
    done = compare(tmp_path, str(tmp_path))
    assert done.returncode == 2
    assert "no logs of SMAC in" in done.stderr
