"""The loops as AVX2 code and as code of any processor: the same battles, bit for bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from powqmix import envs
from powqmix.envs.native import NativeEnv

ROOT = Path(__file__).resolve().parents[2]
MAPS = ("MMM2", "3s5z_vs_3s6z", "2c_vs_64zg", "bane_vs_bane")


def digest(name: str) -> str:
    """Of all that 60 random steps show and keep."""
    env = envs.make(f"skirmish/{name}", 4, seed=5, num_threads=1, spawn_jitter=0.5)
    assert isinstance(env, NativeEnv)
    env.reset()
    found = hashlib.sha256()
    for step in range(60):
        env.step(env.random_actions(2, step))
        for array in (env.obs, env.state, env.avail_actions, env.reward):
            found.update(np.ascontiguousarray(array).tobytes())
    for e in range(env.num_envs):
        found.update(env.get_state(e))
    return found.hexdigest()


@pytest.mark.parametrize("name", MAPS)
def test_the_code_of_any_processor_plays_the_same_battles(name: str) -> None:
    script = f"from tests.envs.test_skirmish_isa import digest; print(digest({name!r}))"
    environment = {**os.environ, "POWQMIX_ISA": "baseline"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest(name)
