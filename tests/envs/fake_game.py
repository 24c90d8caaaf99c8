"""A stand-in for SMAC and StarCraft II that looks installed."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from powqmix import envs
from powqmix.envs.smac_games import SmacGames

ROOT = Path(__file__).parents[2]


class FakeGame:
    """A folder with the fake packages and a folder that looks like StarCraft II's, both in use."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packages = folder / "packages"
        self.game = folder / "StarCraftII"
        self.log = folder / "log"
        self._monkeypatch = monkeypatch
        self._package("smac", "StarCraft2Env")
        self._package("smacv2", "StarCraft2Env, StarCraftCapabilityEnvWrapper")
        for build in ("Base69232", "Base75689"):
            (self.game / "Versions" / build).mkdir(parents=True)
        (self.game / "Maps" / "SMAC_Maps").mkdir(parents=True)
        for name in ("3m", "32x32_flat"):
            (self.game / "Maps" / "SMAC_Maps" / f"{name}.SC2Map").touch()
        monkeypatch.setenv("SC2PATH", str(self.game))
        monkeypatch.setenv("PYTHONPATH", f"{self.packages}:{ROOT}")
        monkeypatch.syspath_prepend(str(self.packages))
        self.wish()

    def _package(self, name: str, classes: str) -> None:
        package = self.packages / name / "env" / "starcraft2"
        package.mkdir(parents=True)
        for place in (package, package.parent, package.parent.parent):
            (place / "__init__.py").touch()
        shutil.copy(Path(__file__).with_name("fake_smac.py"), package / "starcraft2.py")
        (package / "distributions.py").write_text("from numpy.random import default_rng\n")
        (package.parent / "__init__.py").write_text(f"from {name}.env.starcraft2.starcraft2 import {classes}\n")

    def wish(self, **wish: Any) -> None:
        self._monkeypatch.setenv("FAKE_SMAC", json.dumps({"log": str(self.log), **wish}))

    def calls(self, what: str = "") -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[2].startswith(what)]

    def pids(self) -> set[int]:
        return {int(line.partition(" ")[0]) for line in self.log.read_text().splitlines()}


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends, and is no zombie of ours, within `seconds`."""
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def make(num_envs: int = 1, env_id: str = "smac/3m", **options: Any) -> SmacGames:
    env = envs.make(env_id, num_envs, seed=4, **options)
    assert isinstance(env, SmacGames)
    return env


def walk(num_envs: int = 1) -> Any:
    return np.full((num_envs, 3), 2, np.int32)
