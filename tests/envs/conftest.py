"""The stand-in for StarCraft II, for all tests of the real game's adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .fake_game import FakeGame, gone


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FakeGame(tmp_path, monkeypatch)
    yield made
    for pid in made.pids() if made.log.exists() else ():
        assert gone(pid), f"process {pid} of a game outlived its environment"
