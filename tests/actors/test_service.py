"""The policy that an actor plays: as configured in training, greedy in tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from powqmix import config
from powqmix.actors.service import ActorService, Identity
from powqmix.process import StopFlag


@pytest.mark.parametrize(
    ("algorithm", "training"), [("qmix", "epsilon_greedy"), ("coma", "softmax"), ("maddpg", "softmax")]
)
def test_actors_of_policies_draw_in_training_and_not_in_tests(algorithm: str, training: str, tmp_path: Path) -> None:
    settings = config.resolve("matrix/powqmix", algorithm)
    for role, wanted in (("train", training), ("test", "epsilon_greedy")):
        service = ActorService(
            settings, Identity(0, role, 0), 1, f"ipc://{tmp_path}/none", "run", StopFlag(), lambda text: None
        )
        service.link.close()
        assert service.policy.action_selection == wanted
