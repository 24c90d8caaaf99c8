"""Unit data of the skirmish simulator: a profile is a YAML file with a row for each of the ten unit types.

A row is {field: value}; times are seconds of "normal" game time, speeds and growth are a second. What is left out has
the default below; `separation`, the radius at which units keep apart, is `radius` then.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

import powqmix._C as _C

DATA = Path(__file__).parent / "data"
LOOPS_PER_SECOND = 16
PROFILES = ("liberty", "void")
UNIT_TYPES: tuple[str, ...] = _C.SKIRMISH_UNIT_TYPES
WEAPONS = ("none", "direct", "line", "suicide", "heal")

_DEFAULTS: dict[str, Any] = {
    "shield": 0, "armour": 0, "damage": 0, "bonus": 0, "period": 0, "speed": 0, "hit_gap": 0, "hits": 1,
    "splash_length": 0, "splash_width": 0, "health_regen": 0, "max_cooldown": 15, "energy": 0, "max_energy": 0,
    "energy_regen": 0, "heal": 0, "energy_per_health": 0, "light": False, "armoured": False, "flies": False,
    "hits_air": False, "bonus_light": False, "bonus_armoured": False, "walks_cliffs": False, "weapon": "direct",
    "damage_point": 0.167, "slop": 1,  # the engine's defaults
}  # fmt: skip
_REQUIRED = ("health", "range", "radius")
_SECONDS = ("period", "damage_point", "hit_gap")
_PER_SECOND = ("speed", "health_regen", "energy_regen", "heal")
_LARGEST = 1e4  # of any number, in its own unit: a battle's arithmetic is float32


def load_profile(profile: str) -> dict[str, dict[str, Any]]:
    """Unit data by type, in game loops and map units. `profile`: "liberty", "void" or the path of a YAML file.

    Raises ValueError naming the unit and the field that does not fit.
    """
    if profile in PROFILES:
        raw = _builtin(profile)
    else:
        raw = read_yaml(profile, "skirmish: profile", "'liberty', 'void' or the path of a YAML file")
    where = f"skirmish profile {profile!r}"
    if unknown := sorted(set(map(str, raw)) - set(UNIT_TYPES)):
        raise ValueError(f"{where}: unknown units {', '.join(unknown)}; there are: {', '.join(UNIT_TYPES)}")
    if missing := [name for name in UNIT_TYPES if name not in raw]:
        raise ValueError(f"{where}: units {', '.join(missing)} are missing")
    return {name: _load_unit(f"{where}: {name}", raw[name]) for name in UNIT_TYPES}


def read_yaml(path: str, what: str, wanted: str = "the path of a YAML file") -> dict[str, Any]:
    """The mapping in the file `path`. Raises ValueError naming `what` if there is none."""
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{what} is {path!r}; it must be {wanted}: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{what} {path!r}: wanted a mapping, the file holds {type(raw).__name__}")
    return raw


def number(value: object, what: str) -> float:
    """`value` if it is a number. Raises ValueError naming `what` if not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"{what}: wanted a number of at most {_LARGEST:g}, got {value!r}")
    return float(value)


@cache
def _builtin(profile: str) -> dict[str, Any]:
    return read_yaml(str(DATA / f"skirmish_units_{profile}.yaml"), "skirmish: profile")


def _load_unit(where: str, row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: wanted a mapping of fields, got {row!r}")
    known = {*_DEFAULTS, *_REQUIRED, "separation"}
    if unknown := sorted(set(map(str, row)) - known):
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    if missing := [field for field in _REQUIRED if field not in row]:
        raise ValueError(f"{where}: fields {', '.join(missing)} are missing")
    stats = _DEFAULTS | {"separation": row["radius"]} | row
    for field, value in stats.items():
        if field == "weapon":
            if value not in WEAPONS:
                raise ValueError(f"{where}: weapon {value!r} does not exist; there are: {', '.join(WEAPONS)}")
        elif isinstance(_DEFAULTS.get(field), bool):
            if not isinstance(value, bool):
                raise ValueError(f"{where}: {field}: wanted true or false, got {value!r}")
        elif number(value, f"{where}: {field}") < 0:
            raise ValueError(f"{where}: {field} must not be negative, got {value!r}")
    for field in ("health", "radius", "separation", "max_cooldown", "hits"):  # others divide by them
        if stats[field] <= 0:
            raise ValueError(f"{where}: {field} must be above 0, got {stats[field]!r}")
    if not isinstance(stats["hits"], int):
        raise ValueError(f"{where}: hits: wanted a whole number, got {stats['hits']!r}")
    if stats["weapon"] == "heal" and min(stats["energy_per_health"], stats["max_energy"]) <= 0:
        raise ValueError(f"{where}: a healer needs energy_per_health and max_energy above 0")
    stats |= {field: stats[field] * LOOPS_PER_SECOND for field in _SECONDS}
    stats |= {field: stats[field] / LOOPS_PER_SECOND for field in _PER_SECOND}
    return stats
