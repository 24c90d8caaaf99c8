"""The run's metrics for TensorBoard, in the run's folder `tensorboard/`: what metrics.jsonl says, as scalars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

_AXES = ("env_steps", "test_env_steps", "time")  # drawn over, never drawn


class TensorBoard:
    """Writes lines of metrics.jsonl as scalars over environment steps; a thread of the library's puts them on disk."""

    def __init__(self, folder: Path, env_steps: int) -> None:
        """A resumed run's events past `env_steps` are not shown: those steps are taken again."""
        self._writer = SummaryWriter(str(folder), purge_step=env_steps or None)

    def write(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name not in _AXES and isinstance(value, (int, float)):
                step = line["test_env_steps"] if name.startswith("test_") else line["env_steps"]
                self._writer.add_scalar(name, value, step, walltime=line["time"])

    def close(self) -> None:
        self._writer.close()
