"""The update on a GPU: graphs against the same update kernel by kernel, and against the CPU; skipped without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from powqmix.config_values import (
    AgentConfig,
    Config,
    CriticConfig,
    MixerConfig,
    RecognizerConfig,
    TrainingConfig,
    WeightingConfig,
)
from powqmix.learner.update import Update
from powqmix.types import EnvSpec, EpisodeBatch

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=4, obs_size=5, state_size=6, episode_limit=16)
Make = Callable[..., EpisodeBatch]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.fixture(autouse=True)
def syncs_are_allowed_again() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def new(
    algorithm: str, device: str, *, graphs: bool = True, static: bool | None = None, precision: str = "float32"
) -> Update:
    """Small networks; the warm-up of weights is over after 3 environment steps."""
    settings = Config(
        algorithm=algorithm,
        agent=AgentConfig(hidden_size=16),
        mixer=MixerConfig(embed_size=8, hypernet_size=16),
        critic=CriticConfig(hidden_size=32),
        recognizer=RecognizerConfig(embed_size=8, hidden_size=16),
        training=TrainingConfig(batch_size=16, target_update_interval=4, cuda_graphs=graphs, precision=precision),
        weighting=WeightingConfig(warmup_steps=3),
    )
    return Update(settings, SPEC, torch.device(device), static_shapes=static)


def ungraphed(algorithm: str) -> Update:
    """The same kernels in the same shapes, one by one."""
    return new(algorithm, "cuda", graphs=False, static=True)


def assert_alike(left: Update, right: Update) -> None:
    torch.testing.assert_close(left.objective.state_dict(), right.objective.state_dict(), rtol=1e-3, atol=2e-4)


def learn(update: Update, make_batch: Make, count: int = 14, env_steps: int = 1000) -> list[dict[str, float]]:
    """Updates with two batches of different lengths in turn; the metrics of each."""
    short, long = make_batch(SPEC, 16, 7, seed=0, padding=1), make_batch(SPEC, 16, 14, seed=1, padding=2)
    found = []
    for step in range(count):
        update(long if step % 2 else short, env_steps=env_steps + step)
        found.append(update.metrics())
    return found


def means(metrics: dict[str, float]) -> dict[str, float]:
    """Those that rounding changes a little, and not by a step's being recognized or not."""
    names = ("loss_critic", "loss_recognizer", "q_tot_mean", "target_mean")
    return {name: metrics[name] for name in names if name in metrics}


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix", "qplex", "pow-qplex", "cw-qmix", "resq", "qtran"])
def test_graphs_teach_what_kernels_one_by_one_do(algorithm: str, make_batch: Make) -> None:
    graphed, eager = new(algorithm, "cuda"), ungraphed(algorithm)
    wanted, found = learn(eager, make_batch, env_steps=0), learn(graphed, make_batch, env_steps=0)
    assert graphed.calls.captured >= 2
    assert eager.calls.captured == 0
    for left, right in zip(found, wanted):
        assert left == pytest.approx(right, rel=1e-2, abs=1e-3)
    assert_alike(graphed, eager)


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix", "qplex"])
def test_static_shapes_have_the_losses_of_the_usual_form(algorithm: str, make_batch: Make) -> None:
    static, usual = ungraphed(algorithm), new(algorithm, "cuda", graphs=False)
    for left, right in zip(learn(static, make_batch, 4), learn(usual, make_batch, 4)):
        assert means(left) == pytest.approx(means(right), rel=5e-2, abs=5e-3)


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix", "qplex"])
def test_a_gpu_learns_what_a_cpu_does(algorithm: str, make_batch: Make) -> None:
    on_gpu, on_cpu = new(algorithm, "cuda"), new(algorithm, "cpu")
    for left, right in zip(learn(on_gpu, make_batch, 4), learn(on_cpu, make_batch, 4)):
        assert means(left) == pytest.approx(means(right), rel=5e-2, abs=5e-3)


def test_precisions_below_float32_are_captured_too(make_batch: Make) -> None:
    for precision in ("tf32", "bfloat16"):
        update = new("powqmix", "cuda", precision=precision)
        assert all(one["updates_skipped"] == 0 for one in learn(update, make_batch))
        assert update.calls.captured >= 2, precision


def test_large_batches_between_small_ones_leave_graphs_alone(make_batch: Make) -> None:
    """What a graph holds must not be given back when another size is captured or run."""
    graphed, eager = new("powqmix", "cuda"), ungraphed("powqmix")
    for update in (graphed, eager):
        for length in [2] * 5 + [16] * 5 + [2, 16, 9, 2, 16, 4, 2]:
            update(make_batch(SPEC, 16, length, seed=length), env_steps=0)
    assert graphed.calls.captured >= 2
    assert_alike(graphed, eager)


def test_a_resumed_update_goes_on_in_the_same_graphs(make_batch: Make) -> None:
    update = new("powqmix", "cuda")
    learn(update, make_batch, 12)
    captured, state = update.calls.captured, update.state_dict()
    learn(update, make_batch, 4)
    first = update.policy_vector()
    update.load_state_dict(state)
    learn(update, make_batch, 4)
    assert update.calls.captured == captured
    torch.testing.assert_close(torch.from_numpy(update.policy_vector()), torch.from_numpy(first), rtol=1e-3, atol=2e-4)


def test_no_update_waits_for_the_device(make_batch: Make) -> None:
    names = ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")
    batches = [make_batch(SPEC, 16, 14, seed=seed) for seed in range(2)]
    on_device = [EpisodeBatch(*(getattr(b, name).cuda() for name in names), b.filled_count) for b in batches]
    for graphs in (True, False):
        update = new("powqmix", "cuda", graphs=graphs)
        for step in range(10):  # captures, which may wait, are among these
            update(on_device[step % 2], env_steps=0)
        torch.cuda.set_sync_debug_mode("error")
        for step in range(4):
            update(on_device[step % 2], env_steps=0)
        torch.cuda.set_sync_debug_mode("default")
        assert update.consecutive_skipped() == 0
