"""Maps of the skirmish simulator: the 23 of SMAC, generated ones, and those of a user's YAML file.

A map of your own, for `skirmish/<any name>` with `map_file=PATH`:

    limit: 120                      # steps
    terrain: strip                  # a name in data/skirmish_terrain.yaml, or 32 texts of 32 characters, north first
    allies: [[marine, 5, [9, 16]]]  # [type, count, [x, y]], ...
    enemies: [[zergling, 12, [23, 16]]]
    types: [marine, zergling]       # order of the unit-type one-hot; left out: all types, if there is more than one
    goal: [9, 16]                   # of the enemies' attack-move, or nearest, between, none; left out: amid the allies
    ally_goal: [23, 16]             # of the allies', where the computer plays them (mirror); left out: amid the enemies

`10gen_{terran,protoss,zerg}_{N}v{M}` draws unit types and positions anew each episode, the idea of SMACv2 (Ellis et
al., 2023, arXiv 2212.07489).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from .skirmish_units import DATA, UNIT_TYPES, number, read_yaml

MAP_SIZE = 32  # cells a side
MAX_UNITS = 96  # both sides together
Group = tuple[str, int, tuple[float, float]]  # type, count, place

_GENERATED = re.compile(r"10gen_(terran|protoss|zerg)_(\d{1,3})v(\d{1,3})")
# Types, their weights, and the types that may not make up a whole team.
_RACES: dict[str, tuple[list[str], list[float], list[str]]] = {
    "terran": (["marauder", "marine", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "protoss": (["colossus", "stalker", "zealot"], [0.1, 0.45, 0.45], ["colossus"]),
    "zerg": (["baneling", "hydralisk", "zergling"], [0.1, 0.45, 0.45], ["baneling"]),
}
_GENERATED_SIZES = ("5v5", "10v10", "10v11", "20v20", "20v23")
_REQUIRED = ("limit", "terrain", "allies", "enemies")
_KNOWN = (*_REQUIRED, "types", "enemy_types", "goal", "ally_goal")


def map_names() -> list[str]:
    """The 23 maps of SMAC."""
    return list(_data("skirmish_maps.yaml"))


def generated_names() -> list[str]:
    """The generated maps of the usual sizes; others can be made as well."""
    return [f"10gen_{race}_{size}" for race in _RACES for size in _GENERATED_SIZES]


def map_yaml(name: str) -> dict[str, Any]:
    """A built-in map as it stands in YAML, in the form of a map file. Raises ValueError on another name."""
    maps = _data("skirmish_maps.yaml")
    if name not in maps:
        raise ValueError(f"skirmish has no map {name!r}; there are: {', '.join(maps)}")
    return dict(maps[name])


def find_map(name: str, map_file: str = "") -> dict[str, Any]:
    """The map `name`, ready for the simulator: built in, generated, or read from `map_file`.

    Raises ValueError listing the maps there are, or naming what is wrong in the file.
    """
    if map_file:
        return load_map(name, read_yaml(map_file, "skirmish: map_file"), types_by_default=True)
    maps = _data("skirmish_maps.yaml")
    if name in maps:
        return load_map(name, maps[name], types_by_default=False)
    if match := _GENERATED.fullmatch(name):
        return _generated(name, match[1], int(match[2]), int(match[3]))
    close = difflib.get_close_matches(name, [*maps, *generated_names()], n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(f'skirmish/{found}' for found in close)}? " if close else ""
    raise ValueError(
        f"unknown environment 'skirmish/{name}'; {meant}there are: {', '.join(maps)}; 10gen_terran_5v5, "
        "10gen_protoss_10v11, ...; and any name with map_file=PATH"
    )


def load_map(name: str, raw: Mapping[str, Any], *, types_by_default: bool) -> dict[str, Any]:
    """Checks a map as it stands in YAML and completes it.

    types_by_default: whether a map of several unit types that names no `types` gets all of them. SMAC's own has none
    where each side is of one type. Raises ValueError naming the field, what was wanted, and what came.
    """
    where = f"skirmish map {name!r}"
    if unknown := sorted(set(map(str, raw)) - set(_KNOWN)):
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}; there are: {', '.join(_KNOWN)}")
    if missing := [field for field in _REQUIRED if field not in raw]:
        raise ValueError(f"{where}: fields {', '.join(missing)} are missing")
    limit = raw["limit"]
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 2**20:
        raise ValueError(f"{where}: limit: wanted a number of steps from 1 to {2**20}, got {limit!r}")
    allies, enemies = (_groups(raw[side], f"{where}: {side}") for side in ("allies", "enemies"))
    units = sum(count for _, count, _ in allies + enemies)
    if units > MAX_UNITS:
        raise ValueError(f"{where}: {units} units; there may be {MAX_UNITS}")
    present = sorted({kind for kind, _, _ in allies + enemies})
    default_types = present if types_by_default and len(present) > 1 else []
    types = _types(raw.get("types", default_types), present, f"{where}: types")
    enemy_types = _types(raw.get("enemy_types", types), present, f"{where}: enemy_types")
    if sorted(enemy_types) != sorted(types):
        raise ValueError(f"{where}: enemy_types: wanted {types!r} in some order, got {enemy_types!r}")
    goal = raw.get("goal", list(_middle(allies)))
    march = goal if isinstance(goal, str) and goal in ("nearest", "between", "none") else "point"
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
        "ally_goal": _point(raw.get("ally_goal", list(_middle(enemies))), f"{where}: ally_goal"),
        "draw_types": [],
        "draw_weights": [],
        "draw_weak_types": [],
    }


@cache
def _data(file: str) -> dict[str, Any]:
    return read_yaml(str(DATA / file), "skirmish: data")


def _generated(name: str, race: str, n_allies: int, n_enemies: int) -> dict[str, Any]:
    types, weights, weak = _RACES[race]
    raw = {
        "limit": 200,
        "terrain": "open",
        "allies": [[types[1], n_allies, [9, 16]]],
        "enemies": [[types[1], n_enemies, [23, 16]]],
        "types": types,
    }
    drawn = {"draw_types": types, "draw_weights": weights, "draw_weak_types": weak}
    return load_map(name, raw, types_by_default=False) | drawn


def _point(value: object, what: str) -> tuple[float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{what}: wanted [x, y], got {value!r}")
    x, y = number(value[0], what), number(value[1], what)
    if not (0 <= x < MAP_SIZE and 0 <= y < MAP_SIZE):
        raise ValueError(f"{what}: ({x:g}, {y:g}) is outside the map, which is {MAP_SIZE} x {MAP_SIZE}")
    return x, y


def _groups(value: object, what: str) -> list[Group]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what}: wanted a list of [type, count, [x, y]], got {value!r}")
    groups = []
    for row in value:
        if not isinstance(row, list) or len(row) != 3:
            raise ValueError(f"{what}: wanted [type, count, [x, y]], got {row!r}")
        kind, count, at = row
        if not isinstance(kind, str) or kind not in UNIT_TYPES:
            raise ValueError(f"{what}: unit type {kind!r} does not exist; there are: {', '.join(UNIT_TYPES)}")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_UNITS:
            raise ValueError(f"{what}: wanted from 1 to {MAX_UNITS} of {kind}, got {count!r}")
        groups.append((kind, count, _point(at, what)))
    return groups


def _types(value: object, present: list[str], what: str) -> list[str]:
    known = isinstance(value, list) and all(isinstance(kind, str) and kind in UNIT_TYPES for kind in value)
    if not isinstance(value, list) or not known or len(set(value)) != len(value):
        raise ValueError(f"{what}: wanted a list of unit types, each once, got {value!r}")
    if value and not set(present) <= set(value):
        raise ValueError(f"{what}: wanted a list that holds {', '.join(present)}, got {value!r}")
    return value


def _middle(groups: list[Group]) -> tuple[float, float]:
    total = sum(count for _, count, _ in groups)
    x, y = (sum(count * at[axis] for _, count, at in groups) / total for axis in (0, 1))
    return x, y


def _terrain(value: object, where: str) -> list[str]:
    known = _data("skirmish_terrain.yaml")
    if isinstance(value, str) and "\n" not in value:
        if value not in known:
            raise ValueError(f"{where}: terrain {value!r} does not exist; there are: {', '.join(known)}")
        value = known[value]
    rows = value.split() if isinstance(value, str) else value
    size = MAP_SIZE
    if not isinstance(rows, list) or len(rows) != size or any(not isinstance(r, str) or len(r) != size for r in rows):
        raise ValueError(f"{where}: terrain: wanted the name of one, or {size} texts of {size} characters")
    return rows
