"""`powqmix doctor`: what works on this machine, what does not, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from powqmix.version import __version__

from . import flags as command_line
from .checks import MISSING, OK, WRONG, Check, Finding, all_checks
from .errors import CommandError
from .flags import Switch
from .output import print_json, progress

_COLORS = {OK: "green", MISSING: "yellow", WRONG: "red"}


@dataclass(frozen=True)
class Flags:
    """Checks packages, extension, GPU, compilers, StarCraft II, memory and limits; sends messages, trains one step.

    Each line is ok, missing or wrong, the last two with the remedy. The exit code is 0 if training works, even where
    something optional is missing, and 1 if it does not. Example:
        powqmix doctor --json > report.json
    """

    folder: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path()
    """Where runs are to be written; its free space is checked."""
    json: Switch = False
    """Print one JSON object."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "doctor", arguments)


def run(flags: Flags) -> int:
    if not flags.folder.is_dir():
        raise CommandError(f"--folder {flags.folder} is not there; make it, or name another", 2)
    findings = perform(all_checks(flags.folder.resolve()))
    works = all(finding.status == OK for finding in findings if finding.required)
    if flags.json:
        print_json({"powqmix": __version__, "works": works, "checks": [asdict(finding) for finding in findings]})
    else:
        _print(findings, works)
    return 0 if works else 1


def perform(checks: Sequence[Check]) -> list[Finding]:
    """What all checks find, in their order."""
    findings: list[Finding] = []
    with progress(f"{len(checks)} checks", len(checks)) as bar:
        for check in checks:
            found = check()
            findings += found if isinstance(found, list) else [found]
            bar.advance()
    return findings


def _print(findings: Sequence[Finding], works: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"powqmix {__version__}")
    for finding in findings:
        color = _COLORS[finding.status]
        console.print(f"  [{color}]{finding.status:<8}[/]{finding.name:<14}", end="")
        console.print(finding.text, markup=False)
        if finding.status != OK and finding.remedy:
            console.print(f"{'':24}-> {finding.remedy}", markup=False)
    broken = ", ".join(finding.name for finding in findings if finding.required and finding.status != OK)
    console.print("training works on this machine" if works else f"training does not work yet: {broken}")
