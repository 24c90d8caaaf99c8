"""What training needs of a machine, checked one by one: each check says what it found and what helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import gpu, machine, software, working
from .finding import MISSING, OK, WRONG, Finding

__all__ = ["MISSING", "OK", "WRONG", "Check", "Finding", "all_checks"]

Check = Callable[[], Finding | list[Finding]]


def all_checks(folder: Path) -> list[Check]:
    """The checks in the order of the report, what builds on others last; `folder` is where runs are written."""
    return [
        software.python,
        *((lambda name=name: software.package(name)) for name in software.PACKAGES),
        software.pyzmq,
        software.extension,
        gpu.gpu,
        software.compiler,
        software.starcraft,
        machine.processor,
        machine.memory,
        machine.shared_memory,
        machine.abandoned_rings,
        lambda: machine.disk(folder),
        machine.open_files,
        working.round_trip,
        working.training_step,
    ]
