"""Skirmish: an embedded native simulator of the 23 SMAC maps, as `skirmish/<map>`; its results are never SMAC results.

Licence and sources: the simulator is this project's own code under its licence. Sizes, observations, state, legal
actions, rewards and endings follow oxwhirl/smac (MIT), whose map archives give spawns and terrain; unit numbers are
public StarCraft II unit data. It needs neither the game nor its files. What it models and where it differs from SMAC
is written in docs/skirmish.md; `EnvSpec.version` ("skirmish v1") labels every result.

A map is data: `powqmix/envs/data/skirmish_maps.yaml`, or a YAML file of your own, given as `map_file`:

    name: my_map
    limit: 120                      # steps
    terrain: strip                  # a name in skirmish_terrain.yaml, or 32 texts of 32 characters
    allies: [[marine, 5, [9, 16]]]  # [type, count, [x, y]], ...
    enemies: [[zergling, 12, [23, 16]]]
    types: []                       # order of the unit-type one-hot; left out: all types, if there is more than one
    goal: [9, 16]                   # of the enemies' attack-move, or nearest, between, none; left out: amid the allies

`skirmish/10gen_{terran,protoss,zerg}_{N}v{M}` draws unit types and positions anew each episode, the idea of SMACv2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import powqmix._C as _C
import yaml

DATA = Path(__file__).parent / "data"
LOOPS_PER_SECOND = 16
UNIT_COLUMNS = ("x", "y", "health", "shield", "energy", "cooldown", "type", "target", "shot_at")
STAGED_COLUMNS = UNIT_COLUMNS[:6]
PROFILES = ("liberty", "void")
UNIT_TYPES: tuple[str, ...] = _C.SKIRMISH_UNIT_TYPES
_GENERATED = re.compile(r"10gen_(terran|protoss|zerg)_(\d+)v(\d+)")
# SMACv2 (Ellis et al., 2023): types, weights, and the types that may not make up a whole team.
_RACES: dict[str, tuple[list[str], list[float], list[str]]] = {
    "terran": (["marauder", "marine", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "protoss": (["colossus", "stalker", "zealot"], [0.1, 0.45, 0.45], ["colossus"]),
    "zerg": (["baneling", "hydralisk", "zergling"], [0.1, 0.45, 0.45], ["baneling"]),
}


@dataclass(frozen=True)
class SkirmishOptions:
    """What may be asked of a skirmish environment; the defaults are SMAC's."""

    profile: str = "liberty"  # unit data: "liberty" or "void", or the path of such a YAML file
    spawn_jitter: float = 0.0  # map units by which every unit's start is moved, against open-loop policies
    quirks: bool = True  # SMAC's slips: |reward|, reversed enemy types, medivacs' attack bits, endings of MMM
    reward_sparse: bool = False  # +1 a victory, -1 a defeat, nothing else
    reward_only_positive: bool = True  # False: minus half of the allies' damage and 5 a dead ally
    obs_last_action: bool = False  # + n_actions in every ally's row
    obs_pathing_grid: bool = False  # + 8
    obs_terrain_height: bool = False  # + 9
    obs_timestep_number: bool = False  # + 1
    obs_instead_of_state: bool = False  # the state is all observations
    state_last_action: bool = True  # N x A in the state
    state_timestep_number: bool = False  # + 1
    cone_sight: bool = False  # agents see 120 degrees around where they last walked or shot (SMACv2's idea)
    mirror: bool = False  # the computer plays the allies too; for calibration: actions are checked, not obeyed


@cache
def _data(name: str) -> Any:
    return yaml.safe_load((DATA / name).read_text(encoding="utf-8"))


def map_names() -> tuple[str, ...]:
    """The 23 maps; generated maps (`10gen_...`) come on top."""
    return tuple(_data("skirmish_maps.yaml"))


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what}: wanted a number, got {value!r}")
    return float(value)


def _point(value: object, what: str) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{what}: wanted [x, y], got {value!r}")
    x, y = _number(value[0], what), _number(value[1], what)
    if not (0 <= x < 32 and 0 <= y < 32):
        raise ValueError(f"{what}: ({x}, {y}) is outside the map, which is 32 x 32")
    return x, y


def _groups(value: object, what: str) -> list[tuple[str, int, tuple[float, float]]]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what}: wanted a list of [type, count, [x, y]], got {value!r}")
    groups = []
    for row in value:
        if not isinstance(row, list) or len(row) != 3:
            raise ValueError(f"{what}: wanted [type, count, [x, y]], got {row!r}")
        kind, count, at = row
        if kind not in UNIT_TYPES:
            raise ValueError(f"{what}: unit type {kind!r} does not exist; there are: {', '.join(UNIT_TYPES)}")
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{what}: wanted a count of at least 1 {kind}, got {count!r}")
        groups.append((kind, count, _point(at, what)))
    return groups


def _middle(groups: list[tuple[str, int, tuple[float, float]]]) -> tuple[float, float]:
    total = sum(count for _, count, _ in groups)
    x, y = (sum(count * at[axis] for _, count, at in groups) / total for axis in (0, 1))
    return x, y


def load_map(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a map as it stands in YAML and completes it for the simulator.

    Raises ValueError naming the field, what was wanted, and what came.
    """
    where = f"skirmish map {name!r}"
    known = {"name", "limit", "terrain", "allies", "enemies", "types", "enemy_types", "goal"}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    if missing := sorted({"limit", "terrain", "allies", "enemies"} - set(raw)):
        raise ValueError(f"{where}: fields {', '.join(missing)} are missing")
    limit = raw["limit"]
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"{where}: limit: wanted a number of steps, at least 1, got {limit!r}")
    allies = _groups(raw["allies"], f"{where}: allies")
    enemies = _groups(raw["enemies"], f"{where}: enemies")
    present = list(dict.fromkeys(kind for kind, _, _ in allies + enemies))
    # SMAC gives no type bits where each side is of one type; a map of one's own gets them unless it says otherwise.
    builtin = _data("skirmish_maps.yaml").get(name) is raw
    types = raw.get("types", [] if builtin or len(present) == 1 else sorted(present))
    if types and (not isinstance(types, list) or not set(present) <= set(types) <= set(UNIT_TYPES)):
        raise ValueError(f"{where}: types: wanted a list that holds {', '.join(present)}, got {types!r}")
    enemy_types = raw.get("enemy_types", types)
    if sorted(enemy_types) != sorted(types):
        raise ValueError(f"{where}: enemy_types: wanted {types!r} in some order, got {enemy_types!r}")
    goal = raw.get("goal", list(_middle(allies)))
    march = goal if goal in ("nearest", "between", "none") else "point"
    return {
        "name": name,
        "limit": limit,
        "terrain": _terrain(raw["terrain"], where),
        "allies": allies,
        "enemies": enemies,
        "types": types,
        "enemy_types": enemy_types,
        "enemy_march": march,
        "enemy_goal": _point(goal, f"{where}: goal") if march == "point" else (0.0, 0.0),
        "ally_march": "point",
        "ally_goal": _middle(enemies),
        "draw_types": [],
        "draw_weights": [],
        "draw_weak_types": [],
    }


def _terrain(value: object, where: str) -> list[str]:
    known = _data("skirmish_terrain.yaml")
    if isinstance(value, str) and "\n" not in value:
        if value not in known:
            raise ValueError(f"{where}: terrain {value!r} does not exist; there are: {', '.join(known)}")
        value = known[value]
    rows = value.split() if isinstance(value, str) else value
    if not isinstance(rows, list) or len(rows) != 32 or any(not isinstance(r, str) or len(r) != 32 for r in rows):
        raise ValueError(f"{where}: terrain: wanted the name of one, or 32 texts of 32 characters")
    return rows


def generated_map(race: str, n_allies: int, n_enemies: int) -> dict[str, Any]:
    """The map `10gen_<race>_<n_allies>v<n_enemies>`: types and positions are drawn at each start."""
    types, weights, weak = _RACES[race]
    base = load_map(
        f"10gen_{race}_{n_allies}v{n_enemies}",
        {
            "limit": 200,
            "terrain": "open",
            "allies": [[types[1], n_allies, [9, 16]]],
            "enemies": [[types[1], n_enemies, [23, 16]]],
            "types": types,
        },
    )
    return base | {"draw_types": types, "draw_weights": weights, "draw_weak_types": weak}


def find_map(name: str, map_file: str | Path | None = None) -> dict[str, Any]:
    """The map `name`: built in, generated, or read from `map_file`.

    Raises ValueError listing the maps there are, or naming what is wrong in the file.
    """
    if map_file is not None:
        raw = yaml.safe_load(Path(map_file).read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError(f"skirmish map file {map_file}: wanted a mapping of fields, got {type(raw).__name__}")
        return load_map(str(raw.get("name", name)), raw)
    maps = _data("skirmish_maps.yaml")
    if name in maps:
        return load_map(name, maps[name])
    if match := _GENERATED.fullmatch(name):
        return generated_map(match[1], int(match[2]), int(match[3]))
    raise ValueError(
        f"skirmish/{name} does not exist; maps: {', '.join(maps)}; or 10gen_terran_5v5, 10gen_protoss_10v11, ..., "
        "or any name with map_file=PATH"
    )


_STATS_DEFAULTS: dict[str, Any] = {
    "shield": 0, "armour": 0, "damage": 0, "bonus": 0, "period": 0, "speed": 0, "hit_gap": 0, "hits": 1,
    "splash_length": 0, "splash_width": 0, "health_regen": 0, "max_cooldown": 15, "energy": 0, "max_energy": 0,
    "energy_regen": 0, "heal": 0, "energy_per_health": 0, "light": False, "armoured": False, "flies": False,
    "hits_air": False, "bonus_light": False, "bonus_armoured": False, "walks_cliffs": False, "weapon": "direct",
    "damage_point": 0.167,  # seconds: the engine's default for these units
}  # fmt: skip
_STATS_REQUIRED = ("health", "range", "radius")
_SECONDS = ("period", "damage_point", "hit_gap")
_PER_SECOND = ("speed", "health_regen", "energy_regen", "heal")


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Unit data by type, in loops and map units; `profile` is "liberty", "void" or the path of a YAML file.

    Raises ValueError naming the unit and the field that does not fit.
    """
    if profile in PROFILES:
        raw = _data(f"skirmish_units_{profile}.yaml")
    elif Path(profile).is_file():
        raw = yaml.safe_load(Path(profile).read_text(encoding="utf-8"))
    else:
        raise ValueError(f"env.profile is {profile!r}; it must be 'liberty', 'void' or the path of a YAML file")
    if missing := [name for name in UNIT_TYPES if name not in raw]:
        raise ValueError(f"skirmish profile {profile!r}: units {', '.join(missing)} are missing")
    units = {}
    for name in UNIT_TYPES:
        row: dict[str, Any] = raw[name]
        where = f"skirmish profile {profile!r}: {name}"
        known = {*_STATS_DEFAULTS, *_STATS_REQUIRED, "separation"}
        if unknown := sorted(set(row) - known):
            raise ValueError(f"{where}: unknown fields {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
        if missing := [field for field in _STATS_REQUIRED if field not in row]:
            raise ValueError(f"{where}: fields {', '.join(missing)} are missing")
        stats = _STATS_DEFAULTS | {"separation": row["radius"]} | row
        for field, value in stats.items():
            if field != "weapon" and not isinstance(value, bool) and _number(value, f"{where}: {field}") < 0:
                raise ValueError(f"{where}: {field} must not be negative, got {value!r}")
        stats |= {field: stats[field] * LOOPS_PER_SECOND for field in _SECONDS}
        stats |= {field: stats[field] / LOOPS_PER_SECOND for field in _PER_SECOND}
        units[name] = stats
    return units


def check_options(options: Mapping[str, Any]) -> SkirmishOptions:
    """Options by name, checked. Raises ValueError naming the option, what was wanted, and what came."""
    known = SkirmishOptions.__dataclass_fields__
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"skirmish has no option {', '.join(unknown)}; there are: {', '.join(known)}, map_file")
    checked = SkirmishOptions(**options)
    for name, value in asdict(checked).items():
        wanted = type(known[name].default)
        if wanted is float:
            if _number(value, f"env.{name}") < 0:
                raise ValueError(f"env.{name} must be at least 0, got {value!r}")
        elif not isinstance(value, wanted):
            raise ValueError(f"env.{name}: wanted {wanted.__name__}, got {value!r}")
    return checked


def make_skirmish(
    name: str,
    *,
    num_envs: int,
    seed: int,
    num_threads: int = 1,
    first_env: int = 0,
    map_file: str | Path | None = None,
    **options: Any,
) -> _C.Skirmish:
    """The native batched environment of `skirmish/<name>`; options are the fields of `SkirmishOptions`.

    Raises ValueError on an unknown map or option.
    """
    checked = check_options(options)
    return _C.Skirmish(
        map=find_map(name, map_file),
        profile=load_profile(checked.profile),
        options=asdict(checked),
        num_envs=num_envs,
        seed=seed,
        num_threads=num_threads,
        first_env=first_env,
    )
