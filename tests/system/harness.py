"""Starts real runs for the system tests, and looks at them from outside: processes, files, exit codes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

# Small enough to be over in seconds, large enough that every part is at work.
SMALL_GAME = [
    "--env", "predator_prey",
    "--set", "env.grid=4", "--set", "env.n_agents=2", "--set", "env.n_prey=1", "--set", "env.episode_limit=20",
    "--set", "training.batch_size=16", "--set", "replay.capacity=200", "--set", "test.episodes=4",
    "--set", "test.interval_steps=2000", "--set", "agent.hidden_size=16", "--set", "log_interval_s=0.5",
    "--set", "checkpoint.interval_s=1",
    "--set", "training.samples_per_insert=4", "--set", "training.recognizer_updates=1",
]  # fmt: skip


def command(*arguments: str) -> list[str]:
    """`powqmix <arguments>` of this interpreter."""
    return [sys.executable, "-m", "powqmix.cli.main", *arguments]


def run(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs `powqmix <arguments>` to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout_s)


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `powqmix <arguments>` in the background; whatever is left of it at the end is killed."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], Any], timeout_s: float = 60, what: str = "") -> Any:
    """Polls until `condition` gives something true, and returns it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


def processes_of(run_dir: Path, module: str = "powqmix.") -> list[psutil.Process]:
    """Living learner and actor processes of a run; `module` narrows the search."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue
        if str(run_dir) in line and any(argument.startswith(module) for argument in line):
            found.append(process)
    return found


def status(run_dir: Path) -> dict[str, Any]:
    """status.json, or {} before there is one."""
    try:
        values: dict[str, Any] = json.loads((run_dir / "status.json").read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return values


def summary(run_dir: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run_dir / "summary.json").read_text())
    return values


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
