"""The real StarCraft Multi-Agent Challenge: `smac/<map>`, for those who have StarCraft II and the package `smac`.

Rules, sizes, observations and rewards are those of oxwhirl/smac (MIT), played by the game itself in watched processes
(smac_games.py). Needs StarCraft II with the SMAC maps, SC2PATH, and
`pip install "smac @ git+https://github.com/oxwhirl/smac.git" "protobuf==3.20.3"`; without them use `skirmish/<map>`,
which needs nothing. Results of versions 4.6.2 and 4.10 of the game are not comparable: the version and the difficulty
are part of `EnvSpec.version`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from powqmix.types import EnvSpec

from . import skirmish
from .base import Batch
from .skirmish_maps import map_names
from .smac_games import Limits, SmacGames
from .smac_installation import SMAC, NotInstalled, find_installation


@dataclass(frozen=True)
class Options(Limits):
    """StarCraft2Env's options, with its defaults, and the limits of supervision."""

    difficulty: str = "7"  # of the built-in AI; 7 (very hard) is what everyone reports
    reward_sparse: bool = False
    reward_only_positive: bool = True
    obs_last_action: bool = False
    obs_pathing_grid: bool = False
    obs_terrain_height: bool = False
    obs_timestep_number: bool = False
    obs_instead_of_state: bool = False
    state_last_action: bool = True
    state_timestep_number: bool = False


def ids() -> list[str]:
    return [f"smac/{name}" for name in map_names()]


def make(env_id: str, options: Options, batch: Batch) -> SmacGames:
    map_name = env_id.partition("/")[2]
    find_installation(map_name, SMAC)  # raises with the remedy before anything starts
    game_options = {"map_name": map_name, **options.of_the_game()}
    return SmacGames(spec(env_id, options), SMAC.name, game_options, options, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    """SMAC's sizes, which the simulator shares; the game need not be installed to know them."""
    map_name = env_id.partition("/")[2]
    same = {
        f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name.startswith(("obs", "state"))
    }
    sizes = skirmish.spec(f"skirmish/{map_name}", skirmish.Options(**same))
    try:
        game = f"StarCraft II {find_installation(map_name, SMAC).version}"
    except NotInstalled:
        game = "StarCraft II not installed"
    return dataclasses.replace(sizes, id=env_id, version=f"smac, {game}, difficulty {options.difficulty}")
