"""training.precision: the same update in float32 and in bfloat16, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from powqmix import config, envs
from powqmix.config import ConfigError
from powqmix.learner.precision import Precision
from powqmix.learner.update import Update
from powqmix.objectives import OBJECTIVES
from powqmix.types import EnvSpec, EpisodeBatch

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=6, obs_size=21, state_size=37, episode_limit=24)
CPU = torch.device("cpu")
Make = Callable[..., EpisodeBatch]


def new(algorithm: str, precision: str, *assignments: str) -> Update:
    settings = config.resolve(SPEC.id, algorithm, assignments=(f"training.precision={precision}", *assignments))
    return Update(settings, SPEC, CPU)


def losses_of(update: Update, make_batch: Make, batch_size: int = 96, updates: int = 3) -> list[dict[str, float]]:
    found = []
    for seed in range(updates):
        update(make_batch(SPEC, batch_size, 24, seed=seed), env_steps=10**6)
        found.append(update.metrics())
    return found


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_an_update_in_bfloat16_has_nearly_the_losses_of_float32(algorithm: str, make_batch: Make) -> None:
    """Rounding has three digits. It also moves joint actions across the threshold of their weights, so these are 1."""
    equal = ("weighting.recognized_weight=1", "weighting.other_weight=1")
    exact = losses_of(new(algorithm, "float32", *equal), make_batch)
    rounded = losses_of(new(algorithm, "bfloat16", *equal), make_batch)
    assert exact[0] != rounded[0], "nothing was rounded"
    for wanted, got in zip(exact, rounded, strict=True):
        assert got["updates_skipped"] == 0
        for name in got.keys() & {"recognized_share"}:
            assert got[name] == pytest.approx(wanted[name], abs=0.1)
        for name in (name for name in wanted if name.startswith("loss_")):
            assert got[name] == pytest.approx(wanted[name], rel=0.05, abs=0.01), name


def test_parameters_targets_and_what_actors_get_stay_float32(make_batch: Make) -> None:
    update = new("powqmix", "bfloat16")
    losses_of(update, make_batch, updates=1)
    floats = [value for value in update.objective.state_dict().values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}
    vector = torch.from_numpy(update.policy_vector())
    assert not torch.equal(vector, vector.to(torch.bfloat16).float())


def test_one_seed_gives_the_same_bits_in_bfloat16_too(make_batch: Make) -> None:
    first, again = (new("powqmix", "bfloat16") for _ in range(2))
    assert losses_of(first, make_batch) == losses_of(again, make_batch)
    assert (first.policy_vector() == again.policy_vector()).all()


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix"])
def test_batches_of_few_rows_too(algorithm: str, make_batch: Make) -> None:
    """They take the form that is one call in float32."""
    found = losses_of(new(algorithm, "bfloat16", "training.batch_size=2"), make_batch, batch_size=2)
    assert all(one["updates_skipped"] == 0 for one in found)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training.precision must be float32, tf32 .* or bfloat16, got 'half'"):
        config.resolve(SPEC.id, "powqmix", assignments=("training.precision=half",))
    with pytest.raises(ValueError, match="precision=tf32 needs a CUDA device; use float32 or bfloat16"):
        Precision("tf32", CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_on_a_gpu_reduced_precision_has_nearly_the_losses_of_float32(precision: str, make_batch: Make) -> None:
    device, found = torch.device("cuda"), {}
    for name in ("float32", precision):
        settings = config.resolve(SPEC.id, "powqmix", assignments=(f"training.precision={name}",))
        update = Update(settings, SPEC, device)
        update(make_batch(SPEC, 96, 24, seed=0), env_steps=10**6)
        found[name] = update.metrics()
    for name in ("loss_tot", "loss_critic", "loss_recognizer"):
        assert found[precision][name] == pytest.approx(found["float32"][name], rel=0.05, abs=0.01), name


def test_a_real_environments_spec_learns_in_it(make_batch: Make) -> None:
    spec = envs.spec("skirmish/3m")
    settings = config.resolve(spec.id, "powqmix", assignments=("training.precision=bfloat16",))
    update = Update(settings, spec, CPU)
    update(make_batch(spec, 128, 60, seed=0), env_steps=10**6)
    assert update.metrics()["updates_skipped"] == 0
