"""What an actor does to be measured: steps that only sleep, and an account of where the time went."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from powqmix.actors.rollout import Rollout
from powqmix.actors.sleeping import SleepingEnv
from powqmix.actors.stages import MAX_SPANS, StageTimes
from powqmix.types import EnvSpec, PolicySpec, episode_schema

SPEC = EnvSpec("game", n_agents=2, n_actions=3, obs_size=4, state_size=5, episode_limit=6)
POLICY = PolicySpec(2, 3, 4, 8, use_last_action=True, use_agent_id=True)


def test_sleeping_takes_its_time_and_gives_whole_truncated_episodes() -> None:
    env = SleepingEnv(2, seed=1, sleep_s=0.001)
    rollout = Rollout(env, POLICY, episode_schema(SPEC), seed=0)
    rollout.set_parameters(np.zeros(POLICY.parameter_count, np.float32), 0)
    begin, lengths = time.monotonic(), []
    while len(lengths) < 8:
        for episode in rollout.advance(1.0):
            assert (episode.terminated, episode.truncated, episode.battle_won) == (False, True, False)
            assert all(np.isfinite(frame.astype(np.float32)).all() for frame in episode.frames)
            lengths.append(episode.steps)
    assert time.monotonic() - begin >= 0.001 * rollout.env_steps / 2
    assert sorted(lengths)[2:] == [6] * 6  # all but the first of each environment
    assert min(lengths) >= 1


def test_actors_that_start_together_do_not_end_together() -> None:
    lengths = set()
    for seed in range(10):
        rollout = Rollout(SleepingEnv(1, seed, sleep_s=0.0), POLICY, episode_schema(SPEC), seed=0)
        rollout.set_parameters(np.zeros(POLICY.parameter_count, np.float32), 0)
        lengths.add(rollout.advance(1.0)[0].steps)
    assert len(lengths) > 3


def test_stage_times_add_up_and_keep_the_first_stretches(tmp_path: Path) -> None:
    stages = StageTimes()
    for _ in range(MAX_SPANS + 5):
        with stages.time("send"):
            pass
    stages.write(tmp_path / "stages.json", 7, {"policy": 1.5}, [("policy", 1.0, 2.5)])
    report = json.loads((tmp_path / "stages.json").read_text(encoding="utf-8"))
    assert report["env_steps"] == 7
    assert report["seconds"]["send"] >= sum(end - start for _, start, end in report["spans"]) > 0
    assert len(report["spans"]) == MAX_SPANS
    assert report["rollout_seconds"] == {"policy": 1.5}
    assert report["rollout_spans"] == [["policy", 1.0, 2.5]]
