"""What every benchmark result says of where and when it was measured, and the files that it becomes."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from powqmix.machine import processor


def commit() -> str:
    """Short hash of the checkout, with a mark if it holds changes; "unknown" outside one."""
    root = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def describe() -> dict[str, str | int]:
    """Date, machine and commit, for a results file."""
    cores = len(os.sched_getaffinity(0))
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()}, {cores} cores, {platform.system()}",
        "python": platform.python_version(),
        "commit": commit(),
    }


def write_results(path: Path, results: Mapping[str, Any], table: str | None = None) -> None:
    """Writes `results` to `path` as JSON, and the table, if there is one, beside it as Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if table is not None:
        path.with_suffix(".md").write_text(table, encoding="utf-8")
