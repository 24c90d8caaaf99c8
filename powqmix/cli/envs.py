"""`powqmix envs [ID]`: environments with their sizes, or one with its options and rules; `check ID`, `dump-map ID`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import tyro

from powqmix import envs
from powqmix.envs.registry import FAMILIES

from . import envs_check, envs_dump_map
from . import flags as command_line
from .errors import CommandError
from .flags import Switch
from .output import print_json, print_table


@dataclass(frozen=True)
class Flags:
    """Lists all environments with their sizes, or shows one with its options and rules.

        Options are set on the command line with --set env.OPTION=VALUE. `powqmix envs check ID` plays one at random and
    says whether it keeps its promises, `powqmix envs dump-map smac/MAP` writes a real map's ground. Example:
            powqmix envs predator_prey
    """

    id: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ID]")] = ""
    """An environment, or the part of an id before the slash for all that share it. Without it all are listed."""
    json: Switch = False
    """Print one JSON object."""


AnyFlags = Flags | envs_check.Flags | envs_dump_map.Flags


def parse(arguments: Sequence[str]) -> AnyFlags:
    if arguments and arguments[0] == "check":
        return envs_check.parse(arguments[1:])
    if arguments and arguments[0] == "dump-map":
        return envs_dump_map.parse(arguments[1:])
    return command_line.parse(Flags, "envs", arguments)


def run(flags: AnyFlags) -> int:
    if isinstance(flags, envs_check.Flags):
        return envs_check.run(flags)
    if isinstance(flags, envs_dump_map.Flags):
        return envs_dump_map.run(flags)
    known = envs.registered()
    if not flags.id or (flags.id in FAMILIES and flags.id not in known):
        _list([env_id for env_id in known if not flags.id or env_id.startswith(f"{flags.id}/")], flags.json)
        return 0
    try:
        details = describe(flags.id) | {"options": envs.options(flags.id)}
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    if flags.json:
        print_json(details)
    else:
        _show(details)
    return 0


def describe(env_id: str) -> dict[str, Any]:
    """An environment's sizes with its default options; `unavailable` says why there are none."""
    try:
        return {**asdict(envs.spec(env_id)), "unavailable": None}
    except ValueError as error:  # an option without a default
        if env_id not in envs.registered():
            raise
        return {"id": env_id, "unavailable": str(error)}
    except (ImportError, OSError) as error:  # a package, or the game itself
        return {"id": env_id, "unavailable": str(error)}


def _list(ids: Sequence[str], json: bool) -> None:
    described = [describe(env_id) for env_id in ids]
    if json:
        print_json({"environments": described})
        return
    rows = [
        (
            d["id"], d["n_agents"], d["n_actions"], d["obs_size"], d["state_size"], d["episode_limit"],
            "yes" if d["has_win"] else "no", d["version"],
        )
        for d in described
        if d["unavailable"] is None
    ]  # fmt: skip
    headings = "id", ">agents", ">actions", ">observation", ">state", ">step limit", "can be won", "version"
    print_table(headings, rows)
    for d in described:
        if d["unavailable"] is not None:
            print(d["unavailable"])
    print("powqmix envs ID shows options and rules, powqmix envs check ID tries it; powqmix launch --env ID trains")


def _show(details: dict[str, Any]) -> None:
    rules = importlib.import_module(FAMILIES[details["id"].partition("/")[0]].module).__doc__
    print(details["id"] if details["unavailable"] is None else details["unavailable"])
    sizes = [(name.replace("_", " "), value) for name, value in details.items() if name not in _NO_SIZE]
    if sizes:
        print_table(("size", ">value"), sizes)
    print("options, set with --set env.OPTION=VALUE:")
    print_table(("option", ">default"), details["options"].items())
    print((rules or "").strip())


_NO_SIZE = ("id", "version", "options", "unavailable")
