"""Maps and unit data from files: what is read, what generated maps draw, and how mistakes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from powqmix import envs
from powqmix.envs.skirmish import Skirmish
from powqmix.envs.skirmish_maps import find_map, map_names
from powqmix.envs.skirmish_units import DATA, UNIT_TYPES, load_profile

from .skirmish_scenes import STOP, battle

GOOD: dict[str, Any] = {
    "limit": 50,
    "terrain": "strip",
    "allies": [["marine", 3, [9, 16]], ["medivac", 1, [8, 16]]],
    "enemies": [["zergling", 6, [23, 16]]],
}


def write(folder: Path, values: Any) -> str:
    file = folder / "file.yaml"
    file.write_text(yaml.safe_dump(values))
    return str(file)


def test_map_of_ones_own_is_played(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    env = envs.make("skirmish/my_map", 2, map_file=file)
    assert isinstance(env, Skirmish)
    # Three types get a one-hot of three: 6 enemies, 3 other allies, itself.
    assert env.spec == envs.spec("skirmish/my_map", map_file=file)
    assert (env.spec.n_agents, env.spec.n_actions, env.spec.episode_limit) == (4, 12, 50)
    assert env.spec.obs_size == 4 + 6 * 8 + 3 * 8 + 4
    env.reset()
    for step in range(60):
        env.step(env.random_actions(0, step))


def test_types_goal_and_terrain_texts_are_read(tmp_path: Path) -> None:
    rows = ["#" * 32] + ["#" + "1" * 30 + "#"] * 30 + ["#" * 32]
    own = {"terrain": "\n".join(rows), "types": [], "goal": "nearest"}
    env = envs.make("skirmish/x", map_file=write(tmp_path, GOOD | own))
    assert env.spec.obs_size == 4 + 6 * 5 + 3 * 5 + 1
    assert isinstance(env, Skirmish)
    assert list(env.terrain) == rows
    env.reset()
    for _ in range(40):
        env.step(np.where(env.avail_actions[..., 0] == 1, 0, STOP).astype(np.int32))
        if env.terminated[0]:
            break
    assert env.terminated[0]  # they found the marines


@pytest.mark.parametrize(
    "change, message",
    [
        ({"limits": 3}, "unknown fields limits; there are: limit, terrain"),
        ({"limit": None}, "limit: wanted a number of steps from 1"),
        ({"limit": 0}, "limit: wanted a number of steps from 1"),
        ({"limit": True}, "limit: wanted"),
        ({"terrain": "moon"}, "terrain 'moon' does not exist; there are: strip"),
        ({"terrain": ["1" * 32] * 31}, "32 texts of 32 characters"),
        ({"terrain": ["1" * 32] * 31 + ["1" * 31 + "x"]}, "row 31, column 31: 'x' is none of"),
        ({"allies": []}, "allies: wanted a list"),
        ({"allies": [["marine", 3]]}, "allies: wanted .type, count"),
        ({"allies": [["hero", 3, [1, 1]]]}, "unit type 'hero' does not exist; there are: marine, "),
        ({"allies": [[["marine"], 3, [1, 1]]]}, "does not exist"),
        ({"allies": [["marine", 0, [1, 1]]]}, "wanted from 1 to 96 of marine, got 0"),
        ({"allies": [["marine", 91, [9, 16]]]}, "97 units; there may be 96"),
        ({"enemies": [["marine", 3, [33, 1]]]}, r"\(33, 1\) is outside the map"),
        ({"enemies": [["marine", 3, ["a", 1]]]}, "wanted a number"),
        ({"types": ["marine"]}, "types: wanted a list that holds marine, medivac, zergling"),
        ({"types": [["marine"]]}, "types: wanted a list of unit types"),
        ({"types": ["marine", "marine", "medivac", "zergling"]}, "each once"),
        ({"enemy_types": ["zergling", "medivac", "stalker", "marine"]}, "enemy_types: wanted"),
        ({"goal": "far"}, "goal: wanted .x, y."),
        ({"goal": [1, 50]}, "goal: .* outside the map"),
    ],
)
def test_mistake_in_a_map_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as error:
        envs.make("skirmish/x", map_file=write(tmp_path, GOOD | change))
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("field", ["limit", "terrain", "allies", "enemies"])
def test_missing_field_of_a_map_is_named(field: str, tmp_path: Path) -> None:
    values = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ValueError, match=f"fields {field} are missing"):
        envs.make("skirmish/x", map_file=write(tmp_path, values))


@pytest.mark.parametrize("option", ["map_file", "profile"])
def test_file_that_cannot_be_read_is_named(option: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    for file in (tmp_path / "none.yaml", tmp_path / "broken.yaml", tmp_path):
        with pytest.raises(ValueError, match=f"skirmish: {option} is "):
            envs.make("skirmish/3m", **{option: str(file)})
    with pytest.raises(ValueError, match="wanted a mapping, the file holds list"):
        envs.make("skirmish/3m", **{option: write(tmp_path, [1, 2])})


@pytest.mark.parametrize(
    "wrong", ["skirmish/2s3zz", "skirmish/10gen_terran", "skirmish/10gen_terran_5v", "skirmish/", "skirmish"]
)
def test_unknown_map_names_near_ones_and_what_there_is(wrong: str) -> None:
    with pytest.raises(ValueError, match="unknown environment") as error:
        envs.make(wrong)
    assert repr(wrong if "/" in wrong else "skirmish/")[1:-1] in str(error.value)
    if wrong == "skirmish/2s3zz":
        assert "did you mean skirmish/2s3z" in str(error.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"quirk": True}, "no option 'quirk'.*quirks=True"),
        ({"quirks": "yes"}, "quirks must be true or false, got 'yes'"),
        ({"quirks": 1}, "quirks must be true or false, got 1"),
        ({"profile": 3}, "profile must be a text, got 3"),
        ({"profile": "heart"}, "it must be 'liberty', 'void' or the path of a YAML file"),
        ({"spawn_jitter": -1}, "spawn_jitter must be from 0 to 8 map units"),
        ({"spawn_jitter": "far"}, "spawn_jitter must be a number"),
    ],
)
def test_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make("skirmish/3m", **options)


# Unit data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hero": {"health": 1, "range": 1, "radius": 1}}, "unknown units hero"),
        ({"marine": {"health": 45, "range": 5}}, "marine: fields radius are missing"),
        ({"marine": {"health": 45, "range": 5, "radius": 0.4, "mana": 3}}, "marine: unknown fields mana"),
        ({"marine": {"health": -45, "range": 5, "radius": 0.4}}, "health must not be negative"),
        ({"marine": {"health": 0, "range": 5, "radius": 0.4}}, "health must be above 0"),
        ({"marine": {"health": float("nan"), "range": 5, "radius": 0.4}}, "health: wanted a number"),
        ({"marine": {"health": 45, "range": 5, "radius": 0.4, "flies": 1}}, "flies: wanted true or false"),
        ({"marine": {"health": 45, "range": 5, "radius": 0.4, "weapon": "magic"}}, "weapon 'magic' does not exist"),
        ({"marine": {"health": 45, "range": 5, "radius": 0.4, "weapon": "heal"}}, "a healer needs energy_per_health"),
        ({"marine": {"health": 45, "range": 5, "radius": 0.4, "hits": 1.5}}, "hits: wanted a whole number"),
        ({"marine": 45}, "marine: wanted a mapping"),
    ],
)
def test_mistake_in_unit_data_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    raw = yaml.safe_load((DATA / "skirmish_units_liberty.yaml").read_text())
    with pytest.raises(ValueError, match=message):
        envs.make("skirmish/3m", profile=write(tmp_path, raw | change))


def test_missing_unit_is_named(tmp_path: Path) -> None:
    raw = yaml.safe_load((DATA / "skirmish_units_liberty.yaml").read_text())
    del raw["zealot"]
    with pytest.raises(ValueError, match="units zealot are missing"):
        envs.make("skirmish/3m", profile=write(tmp_path, raw))


def test_profiles_hold_the_published_numbers() -> None:
    liberty, void = load_profile("liberty"), load_profile("void")
    assert set(liberty) == set(void) == set(UNIT_TYPES)
    assert [liberty[kind]["health"] for kind in UNIT_TYPES] == [45, 125, 150, 80, 100, 200, 35, 30, 80, 300]
    assert [liberty[kind]["shield"] for kind in UNIT_TYPES] == [0, 0, 0, 80, 50, 150, 0, 0, 0, 0]
    assert (void["hydralisk"]["health"], void["stalker"]["damage"], void["stalker"]["bonus"]) == (90, 13, 5)
    assert (void["colossus"]["damage"], void["colossus"]["range"]) == (10, 7)
    assert liberty["marine"]["period"] == pytest.approx(0.8608 * 16)
    assert liberty["marine"]["speed"] == pytest.approx(2.25 / 16)


# Generated maps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("race", ["terran", "protoss", "zerg"])
def test_generated_teams_mirror_each_other_and_change_each_episode(race: str) -> None:
    env = battle(f"10gen_{race}_5v6", 300)
    kinds = {"terran": ["marauder", "marine", "medivac"], "protoss": ["colossus", "stalker", "zealot"],
             "zerg": ["baneling", "hydralisk", "zergling"]}[race]  # fmt: skip
    weak = {"terran": "medivac", "protoss": "colossus", "zerg": "baneling"}[race]
    counts = dict.fromkeys(kinds, 0)
    teams = set()
    places = set()
    for e in range(300):
        units = env.units(e)
        names = [UNIT_TYPES[int(kind)] for kind in units[:, 6]]
        assert sorted(names[:5]) == sorted(names[5:10])
        assert set(names[:5]) != {weak}
        assert names[:5] == sorted(names[:5])
        teams.add(tuple(sorted(names[:5])))
        places.add(units[:, :2].tobytes())
        for name in names[10:]:
            counts[name] += 1
    assert len(teams) > 8
    assert len(places) == 300
    assert 10 <= counts[weak] <= 60  # a tenth of 300
    assert sum(counts.values()) == 300


def test_generated_starts_surround_or_mirror() -> None:
    env = battle("10gen_terran_5v5", 200)
    surrounded = 0
    for e in range(200):
        places = env.units(e)[:, :2]
        middle = np.abs(places[:5] - 16).max() < 2.5
        surrounded += middle
        if not middle:
            assert (places[:5, 0] < 16).all()
            assert (places[5:, 0] > 16).all()
    assert 60 < surrounded < 140


def test_all_maps_stand_on_ground() -> None:
    for name in map_names():
        env = battle(name)
        for x, y, *_ in env.units(0):
            assert 0 <= x < 32
            assert find_map(name)["terrain"][31 - int(y)][int(x)] not in "#^"
