"""SMACv2: `smacv2/10gen_{terran,protoss,zerg}_{N}v{M}`, for those who have StarCraft II and the package `smacv2`.

Unit types and places are drawn anew each episode, so that no fixed sequence of actions wins (Ellis et al., NeurIPS
2023, arXiv 2212.07489). Rules, sizes, observations and rewards are those of oxwhirl/smacv2 (MIT), played by the game
itself in watched processes (smac_games.py); defaults are those of its published scenarios. The package draws teams and
places from generators without a seed: powqmix seeds them. Needs StarCraft II with SMACv2's maps, SC2PATH, and
`pip install "smacv2 @ git+https://github.com/oxwhirl/smacv2.git" "protobuf==3.20.3"`; without them use
`skirmish/10gen_<race>_<N>v<M>`, which needs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from powqmix.types import EnvSpec

from .base import Batch
from .skirmish_maps import generated_names
from .smac_games import Limits, SmacGames
from .smac_installation import SMACV2, NotInstalled, find_installation

_NAME = re.compile(r"10gen_(terran|protoss|zerg)_(\d{1,2})v(\d{1,2})")
_MAP_FILE = "32x32_flat"  # the ground of all its generated scenarios
_LIMIT = 200  # steps
_TYPES = 3  # unit types of each race
# Unit types, how often each is drawn, and those that may not make up a whole team.
_TEAMS: dict[str, tuple[list[str], list[float], list[str]]] = {
    "terran": (["marine", "marauder", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "protoss": (["stalker", "zealot", "colossus"], [0.45, 0.45, 0.1], []),
    "zerg": (["zergling", "baneling", "hydralisk"], [0.45, 0.1, 0.45], ["baneling"]),
}


@dataclass(frozen=True)
class Options(Limits):
    """StarCraft2Env's options, with the values of SMACv2's published scenarios, and the limits of supervision."""

    difficulty: str = "7"  # of the built-in AI
    reward_sparse: bool = False
    reward_only_positive: bool = True
    obs_last_action: bool = False
    obs_own_pos: bool = True
    obs_timestep_number: bool = False
    conic_fov: bool = False  # agents see a cone, and choose where it points by 12 more actions
    num_fov_actions: int = 12
    use_unit_ranges: bool = True  # of each unit type, instead of 6 for all
    min_attack_range: int = 2
    prob_obs_enemy: float = 1.0  # with which an ally sees what one has seen first
    surrounded_share: float = 0.5  # of episodes that begin surrounded; the others face a mirrored side
    state_last_action: bool = True
    state_timestep_number: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("prob_obs_enemy", "surrounded_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"smacv2: {name} must be between 0 and 1, got {getattr(self, name)!r}")
        if self.num_fov_actions < 1:
            raise ValueError(f"smacv2: num_fov_actions must be at least 1, got {self.num_fov_actions}")


def ids() -> list[str]:
    return [f"smacv2/{name}" for name in generated_names()]


def make(env_id: str, options: Options, batch: Batch) -> SmacGames:
    sizes = spec(env_id, options)
    find_installation(_MAP_FILE, SMACV2)  # raises with the remedy before anything starts
    return SmacGames(sizes, SMACV2.name, _game_options(env_id, options), options, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    """The sizes as the package counts them; the game need not be installed to know them."""
    race, agents, enemies = _parse(env_id)
    shield, cone = int(race == "protoss"), int(options.conic_fov)
    # A medivac's targets are its friends, so that a larger side needs more actions.
    targets = max(agents, enemies) if race == "terran" else enemies
    actions = 6 + cone * options.num_fov_actions + targets
    unit = 5 + shield + _TYPES  # visible, distance, x, y, health
    obs = (
        4
        + enemies * unit
        + (agents - 1) * (unit + options.obs_last_action * actions)
        + (1 + shield + _TYPES + 2 * cone + 2 * options.obs_own_pos)
        + options.obs_timestep_number
    )
    state = (
        agents * (4 + shield + 2 * cone + _TYPES)
        + enemies * (3 + shield + _TYPES)
        + options.state_last_action * agents * actions
        + options.state_timestep_number
    )
    try:
        game = f"StarCraft II {find_installation(_MAP_FILE, SMACV2).version}"
    except NotInstalled:
        game = "StarCraft II not installed"
    return EnvSpec(
        id=env_id, n_agents=agents, n_actions=actions, obs_size=obs, state_size=state, episode_limit=_LIMIT,
        version=f"smacv2, {game}, difficulty {options.difficulty}", has_win=True,
    )  # fmt: skip


def _parse(env_id: str) -> tuple[str, int, int]:
    """Race, agents and enemies. Raises ValueError on another form of name."""
    match = _NAME.fullmatch(env_id.partition("/")[2])
    if match is None or not (int(match[2]) and int(match[3])):
        raise ValueError(
            f"unknown environment {env_id!r}; wanted smacv2/10gen_<race>_<N>v<M> with terran, protoss or zerg, as in "
            "smacv2/10gen_terran_5v5"
        )
    return match[1], int(match[2]), int(match[3])


def _game_options(env_id: str, options: Options) -> dict[str, Any]:
    """The arguments of the package's environment."""
    race, agents, enemies = _parse(env_id)
    types, weights, exceptions = _TEAMS[race]
    values = options.of_the_game()
    surrounded = values.pop("surrounded_share")
    team = {
        "dist_type": "weighted_teams", "unit_types": types, "weights": weights,
        "exception_unit_types": exceptions, "observe": True,
    }  # fmt: skip
    places = {"dist_type": "surrounded_and_reflect", "p": surrounded, "map_x": 32, "map_y": 32}
    return {
        "map_name": f"10gen_{race}",
        "capability_config": {
            "n_units": agents, "n_enemies": enemies, "team_gen": team, "start_positions": places,
        },
        **values,
    }  # fmt: skip
