"""Skirmish: an embedded native simulator of the 23 SMAC maps, as `skirmish/<map>`; its results are never SMAC results.

Licence and sources: the simulator is this project's own code under its licence (Apache-2.0). Sizes, observations,
state, legal actions, rewards and endings follow oxwhirl/smac (MIT), whose map archives give spawns and terrain; unit
numbers are public StarCraft II unit data. It needs neither the game nor its files. What it models and where it differs
from SMAC is written in docs/skirmish.md; `EnvSpec.version` ("skirmish v2") labels every result.

Other maps: `skirmish/10gen_...` and files of your own, see powqmix/envs/skirmish_maps.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import powqmix._C as _C
from powqmix.types import EnvSpec

from .base import ActionArray, Batch, FloatArray
from .native import NativeEnv, batch_options
from .skirmish_maps import find_map, generated_names, map_names
from .skirmish_units import load_profile

UNIT_COLUMNS = ("x", "y", "health", "shield", "energy", "cooldown", "type", "target", "shot_at", "died")
STAGED_COLUMNS = UNIT_COLUMNS[:6]
SCRIPTS = ("random", "nearest", "weakest")


@dataclass(frozen=True)
class Options:
    """What may be asked of a skirmish; the defaults are SMAC's."""

    profile: str = "liberty"  # unit data: "liberty" or "void", or the path of such a YAML file
    map_file: str = ""  # a map of one's own; the id then only names it
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
    mirror: bool = False  # the computer plays the allies too, for calibration: actions are checked, not obeyed

    def __post_init__(self) -> None:
        if not 0 <= self.spawn_jitter <= 8:
            raise ValueError(f"skirmish: spawn_jitter must be from 0 to 8 map units, got {self.spawn_jitter!r}")


class Skirmish(NativeEnv):
    """A batch of battles.

    options: those it was made with.
    terrain: 32 texts of 32 characters, north first; the characters are explained in data/skirmish_terrain.yaml.
    unit_limits: f32 [unit types, (health, shield, energy, radius)].
    dead_allies, dead_enemies: int32 [E], after the last step, also of an episode that it ended.
    """

    def __init__(self, name: str, options: Options, batch: Batch) -> None:
        super().__init__(
            _C.Skirmish(
                map=find_map(name, options.map_file),
                profile=load_profile(options.profile),
                options=dataclasses.asdict(options),
                batch=batch_options(batch),
            )
        )
        self.options = options
        self.n_units: int = self.native.n_units
        self.terrain: tuple[str, ...] = tuple(self.native.terrain)
        self.unit_limits: FloatArray = self.native.unit_limits
        self.dead_allies: npt.NDArray[np.int32] = self.native.dead_allies
        self.dead_enemies: npt.NDArray[np.int32] = self.native.dead_enemies

    def units(self, env: int, *, ended: bool = False) -> FloatArray:
        """Every unit of environment `env` now, or (`ended`) at the end of its last episode: f32 [U, UNIT_COLUMNS].

        Agents come first, in the order of their ids, then the enemies in theirs. Who is dead has health 0 and the place
        where it fell; `died` is the step in which it did, else -1. `type` is an index into UNIT_TYPES, `target` and
        `shot_at` (in the last step) are rows or -1.
        """
        table: FloatArray = self.native.units(env, ended)
        return table

    def episode_step(self, env: int, *, ended: bool = False) -> int:
        """Steps played in environment `env`'s episode, or (`ended`) in its last one."""
        step: int = self.native.episode_step(env, ended)
        return step

    def stage(self, env: int, units: FloatArray) -> None:
        """Puts every unit of environment `env` where and how `units` [U, STAGED_COLUMNS] says, to build a scenario.

        Health 0: dead. Orders and timers but the cooldown start anew; the arrays show the result. Raises ValueError,
        and changes nothing, on another shape or values that no battle could have.
        """
        self.native.stage(env, np.ascontiguousarray(units, np.float32))

    def scripted_actions(self, script: str) -> ActionArray:
        """Actions of a fixed policy, int32 [E, N]: a function of the battles as they are.

        "random" plays any legal action, "nearest" attacks the nearest enemy, "weakest" the one with the least health
        and shield in range; the latter two walk to the nearest enemy when none is in range, and their medivacs heal.
        """
        actions: ActionArray = self.native.scripted_actions(script)
        return actions


def ids() -> list[str]:
    return [f"skirmish/{name}" for name in (*map_names(), *generated_names())]


def make(env_id: str, options: Options, batch: Batch) -> Skirmish:
    return Skirmish(env_id.partition("/")[2], options, batch)


def spec(env_id: str, options: Options) -> EnvSpec:
    return make(env_id, options, Batch()).spec
