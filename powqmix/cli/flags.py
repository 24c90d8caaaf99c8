"""Reading flags: tyro over a dataclass, with repeated `--set` and a compact help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from .main import CommandError

Flags = TypeVar("Flags")

# --set key=value, as often as wanted
Assignments = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
RunPaths = tyro.conf.Positional[tuple[Path, ...]]
RunPath = tyro.conf.Positional[Path]


def parse(kind: type[Flags], command: str, arguments: Sequence[str]) -> Flags:
    """`kind` from the command line. Unknown or malformed flags end the program with exit code 2 and a message."""
    return tyro.cli(
        kind,
        prog=f"powqmix {command}",
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def existing_run(path: Path) -> Path:
    """A run's folder. Raises CommandError (usage) where there is none."""
    if not (path / "config.yaml").exists():
        raise CommandError(f"{path} holds no run (no config.yaml); give the folder that the run printed", 2)
    return path
