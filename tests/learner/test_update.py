"""The update as a whole: order, determinism, padding, resume, failures, metrics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from powqmix import config, envs
from powqmix.learner import checkpoint
from powqmix.learner.length_groups import length_groups
from powqmix.learner.update import Update
from powqmix.objectives import OBJECTIVES
from powqmix.types import EnvSpec, EpisodeBatch

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=4, obs_size=5, state_size=6, episode_limit=7)
SMALL = (
    "agent.hidden_size=8", "mixer.embed_size=4", "mixer.hypernet_size=6", "critic.hidden_size=8",
    "recognizer.embed_size=4", "recognizer.hidden_size=8", "recognizer.recognition_tolerance=0.01",
    "training.batch_size=8", "training.target_update_interval=2", "training.recognizer_updates=3",
    "training.recognizer_first_updates=5", "training.learning_rate=0.01",
)  # fmt: skip
Make = Callable[..., EpisodeBatch]


def new(algorithm: str = "powqmix", *assignments: str, seed: int = 0, spec: EnvSpec = SPEC) -> Update:
    settings = config.resolve(spec.id, algorithm, seed=seed, assignments=(*SMALL, *assignments))
    return Update(settings, spec, torch.device("cpu"))


def learn(update: Update, make_batch: Make, seeds: range, padding: int = 0) -> Update:
    for seed in seeds:
        update(make_batch(update_spec(update), 8, 7, seed=seed, padding=padding), env_steps=100 * seed)
    return update


def update_spec(update: Update) -> EnvSpec:
    return SPEC if update.config.env_id == SPEC.id else dataclasses.replace(SPEC, id=update.config.env_id)


def parameters(update: Update) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in update.objective.state_dict().items()}


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_one_seed_gives_the_same_bits_and_another_does_not(algorithm: str, make_batch: Make) -> None:
    first = learn(new(algorithm), make_batch, range(6))
    again = learn(new(algorithm), make_batch, range(6))
    assert same(parameters(first), parameters(again))
    assert first.metrics() == again.metrics()
    assert not same(parameters(first), parameters(learn(new(algorithm, seed=1), make_batch, range(6))))


def test_the_global_random_stream_neither_matters_nor_changes() -> None:
    torch.manual_seed(1)
    first = parameters(new())
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert same(first, parameters(new()))


@pytest.mark.parametrize(
    "algorithm", ["qmix", "cw-qmix", "powqmix", "qplex", "resq", "qtran", "maddpg", "coma", "lica", "fop"]
)
def test_padding_changes_nothing(algorithm: str, make_batch: Make) -> None:
    short = learn(new(algorithm), make_batch, range(4))
    long = learn(new(algorithm), make_batch, range(4), padding=9)
    torch.testing.assert_close(parameters(short), parameters(long), rtol=1e-3, atol=2e-5)
    assert short.metrics() == pytest.approx(long.metrics(), rel=1e-3)


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_a_resumed_update_goes_on_with_the_same_bits(algorithm: str, make_batch: Make) -> None:
    straight = learn(new(algorithm), make_batch, range(5))
    state = straight.state_dict()
    frozen = parameters(straight)
    learn(straight, make_batch, range(5, 9))
    resumed = new(algorithm, seed=7)
    resumed.load_state_dict(state)
    assert same(parameters(resumed), frozen)  # what was saved did not go on learning
    learn(resumed, make_batch, range(5, 9))
    assert same(parameters(straight), parameters(resumed))
    assert np.array_equal(straight.policy_vector(), resumed.policy_vector())


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_a_checkpoint_of_a_matrix_game_goes_on_with_the_same_bits(
    algorithm: str, make_batch: Make, tmp_path: Path
) -> None:
    spec = envs.spec("matrix/powqmix")
    batches = [make_batch(spec, 8, 1, seed=seed) for seed in range(5)]
    straight = new(algorithm, spec=spec)
    for batch in batches[:3]:
        straight(batch, env_steps=0)
    assert checkpoint.save(tmp_path, 3, {"update": straight.state_dict()})
    resumed = new(algorithm, seed=7, spec=spec)
    resumed.load_state_dict(checkpoint.load(tmp_path, 3)["update"])
    for batch in batches[3:]:
        straight(batch, env_steps=0)
        resumed(batch, env_steps=0)
    assert same(parameters(straight), parameters(resumed))
    assert straight.joint_tables() == resumed.joint_tables()


def test_the_policy_vector_is_the_agent_flat_and_a_copy(make_batch: Make) -> None:
    update = new()
    vector = update.policy_vector()
    assert vector.dtype == np.float32
    assert vector.shape == (update.policy.parameter_count,)
    offset = 0
    for name, shape in update.policy.parameter_shapes().items():
        count = math.prod(shape)
        value = dict(update.objective.agent.named_parameters())[name].detach().numpy()
        assert np.array_equal(vector[offset : offset + count].reshape(shape), value)
        offset += count
    kept = vector.copy()
    learn(update, make_batch, range(1))
    assert np.array_equal(vector, kept)
    assert not np.array_equal(update.policy_vector(), kept)


def test_targets_are_copied_every_interval_of_episodes(make_batch: Make) -> None:
    # 16 samples an insert, 8 a batch: an update for each half episode, so a copy every 4 updates for 2 episodes.
    update = new("powqmix", "training.samples_per_insert=16")
    copied_at = []
    before = [p.clone() for p in update.objective.target.parameters()]  # type: ignore[union-attr, operator]
    for step in range(1, 13):
        learn(update, make_batch, range(step, step + 1))
        now = [p.clone() for p in update.objective.target.parameters()]  # type: ignore[union-attr, operator]
        if not all(torch.equal(p, q) for p, q in zip(before, now)):
            copied_at.append(step)
        before = now
    assert copied_at == [4, 8, 12]


def test_the_recognizer_takes_more_steps_in_the_first_update(make_batch: Make) -> None:
    update = new()
    taken = []
    for seed in range(3):
        learn(update, make_batch, range(seed, seed + 1))
        taken.append(update.state_dict()["recognizer_optimiser"]["steps"].item())
    assert taken == [5, 8, 11]
    assert update.state_dict()["optimiser"]["steps"].item() == 3


@pytest.mark.parametrize("algorithm", ["maddpg", "coma", "lica", "fop"])
def test_a_policy_and_its_critic_have_learning_rates_of_their_own(algorithm: str, make_batch: Make) -> None:
    def moved(*assignments: str) -> dict[str, bool]:
        update = new(algorithm, "training.target_update_interval=1000", *assignments)
        before = parameters(update)
        learn(update, make_batch, range(3))
        change: dict[str, bool] = {}
        for name, value in parameters(update).items():
            part, far = name.split(".")[0], bool((value - before[name]).abs().max() > 1e-6)
            change[part] = change.get(part, False) or far
        return change

    still, rates = "training.{}=1e-12", ("learning_rate", "critic_learning_rate")
    slow_policy, slow_critic = (moved(still.format(rate)) for rate in rates)
    assert (slow_policy["agent"], slow_policy["critic"]) == (False, True)
    assert (slow_critic["agent"], slow_critic["critic"]) == (True, False)
    assert not slow_policy["target"]


def test_a_critic_takes_as_many_steps_as_it_is_told_on_one_batch(make_batch: Make) -> None:
    update = learn(new("coma", "training.critic_updates=5"), make_batch, range(2))
    assert update.state_dict()["critic_optimiser"]["steps"].item() == 10
    assert update.state_dict()["optimiser"]["steps"].item() == 2
    metrics = update.metrics()
    assert {"loss_critic", "loss_policy", "critic_grad_norm", "policy_entropy", "greedy_share"} <= metrics.keys()


def test_the_recognizer_learns_before_the_weights_are_taken(make_batch: Make) -> None:
    """A recognizer that learns nothing gives other weights, hence other agents, in the very first update."""
    fast = new("powqmix", "training.recognizer_learning_rate=0.5")
    slow = new("powqmix", "training.recognizer_learning_rate=1e-12")
    for update in (fast, slow):
        learn(update, make_batch, range(1))
    assert not np.array_equal(fast.policy_vector(), slow.policy_vector())


def test_a_batch_that_is_not_finite_changes_nothing_and_is_counted(make_batch: Make) -> None:
    update = learn(new(), make_batch, range(2))
    assert update.metrics()["updates_skipped"] == 0
    before = parameters(update)
    poisoned = make_batch(SPEC, 8, 7)
    poisoned.reward[0, 0] = math.nan
    for expected in (1, 2):
        update(poisoned, env_steps=0)
        assert update.consecutive_skipped() == expected
    online = {name: value for name, value in parameters(update).items() if not name.startswith("target")}
    assert same(online, {name: before[name] for name in online})
    learn(update, make_batch, range(3, 4))
    assert update.consecutive_skipped() == 0
    metrics = update.metrics()
    assert metrics["updates_skipped"] == 2
    assert all(math.isfinite(value) for value in metrics.values())


def test_metrics_are_means_since_the_last_call(make_batch: Make) -> None:
    update = new()
    assert update.metrics() == {}
    single = []
    for seed in range(3):
        learn(update, make_batch, range(seed, seed + 1))
        single.append(update.metrics())
    together = learn(new(), make_batch, range(3)).metrics()
    for name, value in together.items():
        assert value == pytest.approx(sum(m[name] for m in single) / 3, rel=1e-5, abs=1e-7)
    assert {
        "loss_tot", "loss_critic", "loss_recognizer", "grad_norm", "recognizer_grad_norm", "q_tot_mean", "target_mean",
        "recognized_share", "greedy_share", "weight_mean", "updates_skipped",
    } <= together.keys()  # fmt: skip
    assert 0 < together["greedy_share"] <= together["recognized_share"] <= 1


def test_a_merged_batch_teaches_what_repeated_episodes_do(make_batch: Make) -> None:
    rows = [0, 1, 0, 2, 0, 1, 0, 0]

    def repeated(batch: EpisodeBatch) -> EpisodeBatch:
        names = [f.name for f in dataclasses.fields(batch) if f.name not in ("filled_count", "multiplicity", "lengths")]
        fields = {name: getattr(batch, name)[rows] for name in names}
        return EpisodeBatch(**fields, filled_count=int(fields["filled"].sum()))

    merged, plain = new(), new()
    for seed in range(3):
        batch = make_batch(SPEC, 3, 2, seed=seed)
        merged(dataclasses.replace(batch, multiplicity=torch.tensor([5.0, 2.0, 1.0])), env_steps=0)
        plain(repeated(batch), env_steps=0)
    torch.testing.assert_close(parameters(merged), parameters(plain), rtol=1e-3, atol=2e-5)
    assert merged.metrics() == pytest.approx(plain.metrics(), rel=1e-3)


def test_tables_hold_every_joint_action_of_a_matrix_game(make_batch: Make) -> None:
    spec = dataclasses.replace(SPEC, id="matrix/other")
    update = new(spec=spec)
    assert update.joint_tables() == {}
    batch = make_batch(spec, 8, 7)
    batch.avail_actions[0, 0] = 1
    update(batch, env_steps=0)
    tables = update.joint_tables()
    q = update.objective.agent(batch.obs[:1, :1], torch.full((1, 1, 3), -1))[0, 0].detach()
    assert tables["greedy_joint_action"] == q.argmax(1).tolist()
    for name in ("q_tot", "q_r"):
        assert np.array(tables[name]).shape == (4, 4, 4)
    taken = torch.stack([q[0, 1], q[1, 3], q[2, 0]]).view(1, 1, 3)
    expected = update.objective.mixer(taken, batch.state[:1, :1]).item()  # type: ignore[operator]
    assert tables["q_tot"][1][3][0] == pytest.approx(expected, rel=1e-5)
    greedy = tuple(tables["greedy_joint_action"])
    assert np.array(tables["q_tot"])[greedy] == pytest.approx(np.max(tables["q_tot"]))
    others: dict[str, set[str]] = {"qmix": set(), "cw-qmix": {"q_star"}, "resq": {"q_star", "q_jt"}, "qtran": {"q_jt"}}
    others |= {name: {"q_star"} for name in ("maddpg", "coma", "lica", "fop")}
    for algorithm, there in others.items():
        update = new(algorithm, spec=spec)
        update(batch, env_steps=0)
        tables = update.joint_tables()
        assert {name for name in ("q_r", "q_star", "q_jt") if tables[name] is not None} == there
        if tables["q_tot"] is None:  # of policies
            assert np.array(tables["q_star"]).shape == (4, 4, 4)
        else:
            assert np.unravel_index(np.argmax(tables["q_tot"]), (4, 4, 4)) == tuple(tables["greedy_joint_action"])
    assert learn(new(), make_batch, range(1)).joint_tables() == {}  # not a matrix game


@pytest.mark.parametrize("algorithm", ["powqmix", "qmix", "lica"])
def test_a_batch_in_groups_of_similar_lengths_teaches_what_the_whole_does(
    algorithm: str, make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("powqmix.learner.length_groups.COST_STEPS", 0.0)  # or so small a batch would stay whole
    grouped, whole = new(algorithm), new(algorithm)
    for seed in range(3):
        batch = make_batch(SPEC, 64, 20, seed=seed, padding=3)
        order = batch.filled.sum(1).argsort()
        names = [f.name for f in dataclasses.fields(batch) if f.name not in ("filled_count", "multiplicity", "lengths")]
        batch = dataclasses.replace(batch, **{name: getattr(batch, name)[order] for name in names})
        lengths = tuple(batch.filled.sum(1).tolist())
        assert len(length_groups(lengths, 23, SPEC.n_agents)) > 2
        grouped(dataclasses.replace(batch, lengths=lengths), env_steps=0)
        whole(batch, env_steps=0)
    torch.testing.assert_close(parameters(grouped), parameters(whole), rtol=1e-3, atol=2e-5)
    assert grouped.metrics() == pytest.approx(whole.metrics(), rel=1e-3)
