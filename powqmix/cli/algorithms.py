"""`powqmix algorithms [NAME]`: what can be trained, what each is made of, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from powqmix.config import ALGORITHMS, near

from . import flags as command_line
from .errors import CommandError
from .flags import Switch
from .output import print_json, print_table


@dataclass(frozen=True)
class Flags:
    """Lists all algorithms, or shows one: what it is made of, its own defaults, its paper.

    Any of its values can be changed: --set weighting.recognized_weight=10 --set weighting.other_weight=0.5. Example:
        powqmix algorithms cw-qmix
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")] = ""
    """An algorithm. Without it all are listed."""
    json: Switch = False
    """Print one JSON object."""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "algorithms", arguments)


def run(flags: Flags) -> int:
    if flags.name and flags.name not in ALGORITHMS:
        raise CommandError(f"no algorithm {flags.name!r}; {near(flags.name, ALGORITHMS)}", 2)
    described = [describe(name) for name in ALGORITHMS if not flags.name or name == flags.name]
    if flags.json:
        print_json(described[0] if flags.name else {"algorithms": described})
    elif flags.name:
        _show(described[0])
    else:
        headings = "algorithm", "mixer", "critic", "recognizer", "weighting", "what it does"
        print_table(headings, [(d["name"], *_parts(d), d["about"]) for d in described])
        print("powqmix algorithms NAME shows defaults and paper; powqmix launch --algorithm NAME trains")
    return 0


def describe(name: str) -> dict[str, Any]:
    """Name, one line, composition, own defaults and paper of an algorithm."""
    from powqmix.objectives import OBJECTIVES  # with torch: seconds that other commands need not wait

    row = OBJECTIVES[name]
    return {
        "name": name,
        "about": row.about,
        "composition": row.composition(),
        "defaults": ALGORITHMS[name],
        "paper": row.paper,
    }


def _parts(details: dict[str, Any]) -> list[str]:
    return [part or "-" for part in details["composition"].values()]


def _show(details: dict[str, Any]) -> None:
    print(f"{details['name']}: {details['about']}\n{details['paper']}")
    print_table(("part", "kind"), zip(details["composition"], _parts(details)))
    if details["defaults"]:
        print("its own defaults, above those of a preset and below --config and --set:")
        print_table(("key", ">value"), details["defaults"].items())
