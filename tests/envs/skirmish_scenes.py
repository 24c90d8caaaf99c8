"""Staged battles: units of any type at chosen places, to check rules of the skirmish simulator by hand."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from powqmix.envs import make
from powqmix.envs.skirmish import UNIT_COLUMNS, Skirmish
from powqmix.envs.skirmish_units import DATA, UNIT_TYPES, load_profile

STOP, NORTH, SOUTH, EAST, WEST, FIRST = 1, 2, 3, 4, 5, 6
Profile = dict[str, dict[str, Any]]
DUMMY = {"spine_crawler": {"health": 10000, "damage": 0, "bonus": 0, "armour": 0, "armoured": False, "health_regen": 0}}
COLUMN = {name: i for i, name in enumerate(UNIT_COLUMNS)}


@dataclass
class Unit:
    """One unit of a scene; None: as its type begins."""

    kind: str
    x: float
    y: float
    health: float | None = None
    shield: float | None = None
    energy: float | None = None
    cooldown: float = 0.0

    def row(self, profile: Profile | None = None) -> list[float]:
        stats = (profile or load_profile("liberty"))[self.kind]
        health = stats["health"] if self.health is None else self.health
        shield = (stats["shield"] if self.shield is None else self.shield) if health > 0 else 0.0
        energy = (stats["energy"] if self.energy is None else self.energy) if health > 0 else 0.0
        return [self.x, self.y, health, shield, energy, self.cooldown if health > 0 else 0.0]


class Scene:
    """`num_envs` copies of one staged battle; rows are allies first, then enemies, as they were given."""

    def __init__(self, env: Skirmish, profile: Profile, allies: list[Unit], enemies: list[Unit]) -> None:
        self.env = env
        self.profile = profile
        self.n = len(allies)
        kinds = [UNIT_TYPES[int(kind)] for kind in env.units(0)[:, COLUMN["type"]]]
        assert kinds == [unit.kind for unit in allies + enemies], f"name units in the order of their ids: {kinds}"
        self.restage(allies + enemies)

    def restage(self, units: list[Unit]) -> None:
        for e in range(self.env.num_envs):
            self.env.stage(e, np.array([unit.row(self.profile) for unit in units], np.float32))

    def act(self, *actions: int, steps: int = 1) -> Scene:
        for _ in range(steps):
            self.env.step(np.tile(np.array(actions, np.int32), (self.env.num_envs, 1)))
        return self

    def get(self, unit: int, column: str, env: int = 0) -> float:
        ended = bool(self.env.terminated[env] or self.env.truncated[env])
        return float(self.env.units(env, ended=ended)[unit, COLUMN[column]])

    def all(self, unit: int, column: str) -> list[float]:
        return [self.get(unit, column, env) for env in range(self.env.num_envs)]

    def place(self, unit: int, env: int = 0) -> tuple[float, float]:
        return self.get(unit, "x", env), self.get(unit, "y", env)

    def gap(self, one: int, other: int, env: int = 0) -> float:
        """Distance between centres."""
        return float(np.hypot(*np.subtract(self.place(one, env), self.place(other, env))))


def scene(
    allies: list[Unit], enemies: list[Unit], *, num_envs: int = 1, terrain: Any = "open", limit: int = 1000,
    goal: Any = "none", seed: int = 1, stats: dict[str, dict[str, Any]] | None = None, **options: Any,
) -> Scene:  # fmt: skip
    """A staged battle on a map of its own; `terrain`, `limit` and `goal` are those of a map file.

    stats: changes of unit data. DUMMY makes of spine crawlers targets that do nothing.
    """
    raw = yaml.safe_load((DATA / "skirmish_units_liberty.yaml").read_text())
    for kind, changes in (stats or {}).items():
        raw[kind] |= changes
    sides = {
        side: [[unit.kind, 1, [unit.x, unit.y]] for unit in units]
        for side, units in (("allies", allies), ("enemies", enemies))
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "map.yaml"
        file.write_text(yaml.safe_dump(sides | {"terrain": terrain, "limit": limit, "goal": goal}))
        profile = Path(folder) / "profile.yaml"
        profile.write_text(yaml.safe_dump(raw))
        env = make("skirmish/scene", num_envs, seed, map_file=str(file), profile=str(profile), **options)
        units = load_profile(str(profile))
    assert isinstance(env, Skirmish)
    env.reset()
    return Scene(env, units, allies, enemies)


def battle(name: str, num_envs: int = 1, seed: int = 1, **options: Any) -> Skirmish:
    """A reset skirmish of the map `name`."""
    env = make(f"skirmish/{name}", num_envs, seed, **options)
    assert isinstance(env, Skirmish)
    env.reset()
    return env
