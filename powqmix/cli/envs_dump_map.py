"""`powqmix envs dump-map smac/MAP`: the ground that StarCraft II itself plays on, as a map file for skirmish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
import yaml

from powqmix import envs
from powqmix.envs.game_process import GameFailed
from powqmix.envs.skirmish_maps import MAP_SIZE, map_yaml
from powqmix.envs.smac_games import SmacGames
from powqmix.envs.smac_ground import ground_rows

from . import flags as command_line
from .errors import CommandError
from .flags import PathFlag
from .output import progress


@dataclass(frozen=True)
class Flags:
    """Starts StarCraft II on a SMAC map and writes its ground, as the game knows it, into a map file for skirmish.

    skirmish's own terrain comes from the map archives, whose cliffs round differently. Example:
        powqmix envs dump-map smac/corridor
        powqmix-launch --env skirmish/corridor --set env.map_file=corridor.yaml
    """

    id: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="smac/MAP")]
    """The map."""
    out: PathFlag = None
    """The file (default: MAP.yaml)"""


def parse(arguments: Sequence[str]) -> Flags:
    return command_line.parse(Flags, "envs dump-map", arguments)


def run(flags: Flags) -> int:
    family, _, name = flags.id.partition("/")
    if family != "smac":
        raise CommandError(f"dump-map reads real maps, smac/<map>, got {flags.id!r}; `powqmix envs smac` lists them", 2)
    out = flags.out or Path(f"{name}.yaml")
    try:
        env = envs.make(flags.id)
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    assert isinstance(env, SmacGames)
    try:
        with progress("starting StarCraft II", 1) as bar:
            env.reset()
            walkable, height = env.ground()
            bar.advance()
    except GameFailed as error:
        raise CommandError(str(error), 1) from None
    finally:
        env.close()
    if walkable.shape != (MAP_SIZE, MAP_SIZE):
        raise CommandError(f"{flags.id} is {walkable.shape} cells; skirmish plays {MAP_SIZE} x {MAP_SIZE}", 1)
    text = yaml.safe_dump(map_yaml(name) | {"terrain": ground_rows(walkable, height)}, sort_keys=False)
    out.write_text(f"# {flags.id} with the ground of {env.spec.version}.\n{text}", encoding="utf-8")
    print(f"{out}: play on it with --env skirmish/{name} --set env.map_file={out}")
    return 0
