"""Reading flags: tyro over a dataclass, with repeated `--set` and a compact help."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from powqmix.config import ConfigError, nest, parse_assignment

from .errors import CommandError

Flags = TypeVar("Flags")

# Flags that are not given are None: what they stand for then is said in their help.
_plain = {"help_behavior_hint": ""}
Word = Annotated[str | None, tyro.conf.arg(metavar="NAME", **_plain)]
Number = Annotated[int | None, tyro.conf.arg(metavar="N", **_plain)]
PathFlag = Annotated[Path | None, tyro.conf.arg(metavar="PATH", **_plain)]
Switch = Annotated[bool, tyro.conf.arg(**_plain)]
# --set key=value, as often as wanted
Assignments = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(name="set", metavar="KEY=VALUE", help_behavior_hint="(as often as wanted)"),
]
Labels = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="LABEL", help_behavior_hint="(as often as wanted)"),
]
RunPaths = tyro.conf.Positional[tuple[Path, ...]]
RunPath = tyro.conf.Positional[Path]


def parse(kind: type[Flags], command: str, arguments: Sequence[str]) -> Flags:
    """`kind` from the command line. Unknown or malformed flags end the program with exit code 2 and a message."""
    return tyro.cli(
        kind,
        prog=f"powqmix {command}",
        args=list(arguments),
        description=inspect.cleandoc(kind.__doc__ or ""),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def env_options(assignments: Sequence[str]) -> dict[str, Any]:
    """The options of an environment that `--set env.NAME=VALUE` gives. Raises ConfigError on anything else."""
    given = nest(dict(parse_assignment(text) for text in assignments))
    if set(given) - {"env"}:
        raise ConfigError("--set takes options of the environment here, as in --set env.OPTION=VALUE")
    return dict(given.get("env", {}))


def existing_run(path: Path) -> Path:
    """A run's folder. Raises CommandError (usage) where there is none."""
    if not (path / "config.yaml").exists():
        raise CommandError(f"{path} holds no run (no config.yaml); give the folder that the run printed", 2)
    return path
