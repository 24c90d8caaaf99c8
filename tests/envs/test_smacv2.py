"""SMACv2 by the same adapter, against the same stand-in for the game."""

from __future__ import annotations

import json
from typing import Any

import pytest

from powqmix import envs
from powqmix.envs.game_process import GameFailed

from .fake_game import FakeGame, make, walk


# As published with the benchmark: obs_own_pos adds two numbers to an observation.
@pytest.mark.parametrize(
    "name, options, sizes",
    [
        ("10gen_terran_5v5", {}, (5, 11, 82, 120, 200)),
        ("10gen_zerg_5v5", {}, (5, 11, 82, 120, 200)),
        ("10gen_protoss_5v5", {}, (5, 11, 92, 130, 200)),
        ("10gen_protoss_5v5", {"obs_own_pos": False}, (5, 11, 90, 130, 200)),
        ("10gen_terran_5v5", {"conic_fov": True}, (5, 23, 84, 190, 200)),
        ("10gen_terran_3v2", {"obs_last_action": True}, (3, 9, 4 + 2 * 8 + 2 * (8 + 9) + 6, 21 + 12 + 27, 200)),
        ("10gen_zerg_3v2", {"state_last_action": False}, (3, 8, 42, 33, 200)),
    ],
)
def test_sizes_of_generated_battles(name: str, options: dict[str, Any], sizes: tuple[int, ...]) -> None:
    spec = envs.spec(f"smacv2/{name}", **options)
    assert (spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, spec.episode_limit) == sizes
    assert spec.has_win
    assert "not installed" in spec.version


def test_generated_battle_is_played_with_seeded_teams(fake: FakeGame) -> None:
    fake.wish(length=2)
    for _ in range(2):
        env = make(2, "smacv2/10gen_terran_3v4", surrounded_share=0.25, prob_obs_enemy=0.0)
        assert env.spec.version == "smacv2, StarCraft II 4.10, difficulty 7"
        env.reset()
        for _ in range(2):
            env.step(walk(2))
        assert env.battle_won.all()
        env.close()
    teams = fake.calls("team")
    assert len(teams) == 8
    assert sorted(teams[:4]) == sorted(teams[4:])  # the same seed, the same teams
    assert len(set(teams[:4])) == 4
    config = json.loads(fake.calls("config")[0].partition(" ")[2])
    assert (config["n_units"], config["n_enemies"]) == (3, 4)
    assert config["team_gen"]["unit_types"] == ["marine", "marauder", "medivac"]
    assert config["start_positions"]["p"] == 0.25
    opened = fake.calls("open")[0]
    assert opened.startswith("open 10gen_terran 7 ['capability_config', 'conic_fov', ")
    assert "surrounded_share" not in opened
    assert "timeout" not in opened


def test_side_of_medivacs_alone_has_lost(fake: FakeGame) -> None:
    fake.wish(outcome="lost", dead=1, kinds=[1, 2, 2], length=2)  # both medivacs live
    env = make(1, "smacv2/10gen_terran_3v4")
    env.reset()
    env.step(walk())
    env.step(walk())
    assert (env.terminated[0], env.truncated[0], env.battle_won[0]) == (1, 0, 0)
    fake.wish(outcome="lost", dead=1, kinds=[1, 1, 2], length=2)  # a marine could go on fighting
    env.close()
    env.reset()
    env.step(walk())
    with pytest.raises(GameFailed, match="it broke off after 2 steps: nobody had won"):
        env.step(walk())


@pytest.mark.parametrize("name", ["10gen_orc_5v5", "10gen_terran", "3m", "10gen_zerg_0v5"])
def test_unknown_generated_battle_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown environment 'smacv2/{name}'; wanted smacv2/10gen_<race>_<N>v<M>"):
        envs.spec(f"smacv2/{name}")


@pytest.mark.parametrize("name, value", [("prob_obs_enemy", 1.5), ("surrounded_share", -0.1), ("num_fov_actions", 0)])
def test_option_out_of_its_range_is_told(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"smacv2: {name} must be .*, got {value}"):
        envs.spec("smacv2/10gen_zerg_5v5", **{name: value})
