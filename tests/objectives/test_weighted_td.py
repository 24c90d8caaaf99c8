"""WeightedTDObjective against the equations, one episode and one step at a time in Python numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from powqmix import config
from powqmix.modules import last_actions, take
from powqmix.objectives import Transitions, build_objective
from powqmix.objectives.weighted_td import WeightedTDObjective
from powqmix.types import EnvSpec, EpisodeBatch, PolicySpec

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=4, obs_size=5, state_size=6, episode_limit=7)
POLICY = PolicySpec(3, 4, 5, 8, use_last_action=True, use_agent_id=True)
GAMMA, TD_LAMBDA, TOLERANCE, HIGH, LOW = 0.9, 0.7, 0.3, 3.0, 0.25
SMALL = (
    "mixer.embed_size=4", "mixer.hypernet_size=6", "critic.hidden_size=8", "recognizer.embed_size=4",
    "recognizer.hidden_size=8", f"training.gamma={GAMMA}", f"training.td_lambda={TD_LAMBDA}",
    f"recognizer.recognition_tolerance={TOLERANCE}", f"weighting.recognized_weight={HIGH}",
    f"weighting.other_weight={LOW}",
)  # fmt: skip


def small_objective(algorithm: str, seed: int = 0) -> WeightedTDObjective:
    """An objective whose targets differ from its online networks, with advantages of a useful size."""
    torch.manual_seed(seed)
    objective = build_objective(config.resolve("predator_prey", algorithm, assignments=SMALL), SPEC, POLICY)
    assert isinstance(objective, WeightedTDObjective)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return objective


def as_transitions(batch: EpisodeBatch) -> Transitions:
    return Transitions(
        batch.obs, batch.state, batch.avail_actions, batch.actions, last_actions(batch.actions), batch.reward,
        GAMMA * (1 - batch.terminated.float()), batch.filled, batch.filled.float() / batch.filled_count,
        batch.filled_count,
    )  # fmt: skip


@torch.no_grad()
def reference(objective: WeightedTDObjective, batch: EpisodeBatch, weigh: Callable[..., float]) -> dict[str, float]:
    """Losses by the definition: y backward from the last filled step, then a sum over filled steps."""
    before = last_actions(batch.actions)
    q = objective.agent(batch.obs, before)
    greedy = q.masked_fill(batch.avail_actions == 0, -torch.inf).argmax(3)
    best, taken = take(q, greedy)[:, :-1], take(q[:, :-1], batch.actions)
    q_tot = objective.mixer.of_actions(taken, best, batch.state[:, :-1], batch.actions)
    target = objective.target
    target_q = target.agent(batch.obs, before)
    target_best = target_q.masked_fill(batch.avail_actions == 0, -torch.inf).max(3).values  # of its own best actions
    values = target.mixer.of_actions(take(target_q, greedy), target_best, batch.state, greedy)  # of a_hat
    critic = objective.critic
    q_star = None
    if critic is not None:
        q_star = critic.mixer(take(critic.agent(batch.obs, before)[:, :-1], batch.actions), batch.state[:, :-1])
    joint_advantage = torch.zeros_like(q_tot)
    if objective.recognizer is not None:
        w1, w2, _ = objective.recognizer(batch.state[:, :-1], batch.actions)
        joint_advantage = (torch.einsum("btnk,btk->btn", w1.abs(), w2.abs()) * (taken - best)).sum(2)
    loss_tot, loss_critic = 0.0, 0.0
    for b in range(batch.obs.shape[0]):
        length = int(batch.filled[b].sum())
        y = 0.0
        for t in reversed(range(length)):
            discount = GAMMA * (1 - int(batch.terminated[b, t]))
            bootstrap = float(values[b, t + 1])
            if t < length - 1:
                bootstrap = (1 - TD_LAMBDA) * bootstrap + TD_LAMBDA * y
            y = float(batch.reward[b, t]) + discount * bootstrap
            is_greedy = batch.actions[b, t].tolist() == greedy[b, t].tolist()
            weight = weigh(is_greedy, y, float(q_tot[b, t]), float(values[b, t]), float(joint_advantage[b, t]))
            loss_tot += 0.5 * weight * (float(q_tot[b, t]) - y) ** 2
            if q_star is not None:
                loss_critic += 0.5 * (float(q_star[b, t]) - y) ** 2
    count = int(batch.filled.sum())
    losses = {"loss_tot": loss_tot / count}
    return losses | ({"loss_critic": loss_critic / count} if critic is not None else {})


def high_if(condition: bool) -> float:
    return HIGH if condition else LOW


def weight_always(is_greedy: bool, y: float, q_tot: float, greedy_value: float, advantage: float) -> float:
    return 1.0


def weight_central(is_greedy: bool, y: float, q_tot: float, greedy_value: float, advantage: float) -> float:
    return high_if(is_greedy or y > greedy_value)


def weight_optimistic(is_greedy: bool, y: float, q_tot: float, greedy_value: float, advantage: float) -> float:
    return high_if(q_tot < y)


def weight_greedy(is_greedy: bool, y: float, q_tot: float, greedy_value: float, advantage: float) -> float:
    return high_if(is_greedy)


def weight_recognized(is_greedy: bool, y: float, q_tot: float, greedy_value: float, advantage: float) -> float:
    return high_if(advantage >= -TOLERANCE)


WEIGHTS = {
    "vdn": lambda *args: HIGH,
    "qmix": lambda *args: HIGH,
    "qplex": lambda *args: HIGH,
    "cw-qmix": weight_central,
    "ow-qmix": weight_optimistic,
    "powqmix": weight_recognized,
    "pow-vdn": weight_recognized,
    "pow-qplex": weight_recognized,
    "powqmix-opt": weight_greedy,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("algorithm", sorted(WEIGHTS))
def test_losses_are_those_of_the_equations(algorithm: str, seed: int, make_batch: Callable[..., EpisodeBatch]) -> None:
    objective = small_objective(algorithm, seed)
    batch = make_batch(SPEC, batch_size=9, steps=7, seed=seed, padding=seed)
    evaluation = objective.evaluate(as_transitions(batch))
    losses = objective.losses(as_transitions(batch), evaluation, weighted=True)
    expected = reference(objective, batch, WEIGHTS[algorithm])
    assert {name: loss.item() for name, loss in losses.terms.items()} == pytest.approx(expected, rel=2e-5)
    assert losses.total.item() == pytest.approx(sum(expected.values()), rel=2e-5)


def test_all_weights_are_one_in_the_warm_up(make_batch: Callable[..., EpisodeBatch]) -> None:
    objective, batch = small_objective("powqmix"), make_batch(SPEC, 9, 7)
    transitions = as_transitions(batch)
    losses = objective.losses(transitions, objective.evaluate(transitions), weighted=False)
    assert losses.terms["loss_tot"].item() == pytest.approx(reference(objective, batch, weight_always)["loss_tot"])
    assert losses.metrics["weight_mean"].item() == pytest.approx(1.0)
    assert losses.metrics["recognized_share"].item() < 1.0  # what would be recognized is shown all the same


def test_the_regression_holds_the_filled_steps_and_the_targets(make_batch: Callable[..., EpisodeBatch]) -> None:
    objective, batch = small_objective("powqmix"), make_batch(SPEC, 5, 7)
    transitions = as_transitions(batch)
    evaluation = objective.evaluate(transitions)
    rows = objective.regression(transitions, evaluation)
    filled = batch.filled.bool()
    assert torch.equal(rows.state, batch.state[:, :-1][filled])
    assert torch.equal(rows.actions, batch.actions[filled])
    assert torch.equal(rows.target, evaluation.target[filled])
    assert rows.share.sum().item() == pytest.approx(1.0)
    assert not rows.advantages.requires_grad
    assert bool((rows.advantages <= 0).all())


def gradients(objective: WeightedTDObjective, transitions: Transitions) -> dict[str, Tensor | None]:
    losses = objective.losses(transitions, objective.evaluate(transitions), weighted=True)
    names = [name for name, p in objective.named_parameters() if p.requires_grad]
    parameters = [p for p in objective.parameters() if p.requires_grad]
    return dict(zip(names, torch.autograd.grad(losses.total, parameters, allow_unused=True)))


def test_the_losses_train_agents_mixer_and_critic_and_nothing_else(make_batch: Callable[..., EpisodeBatch]) -> None:
    objective = small_objective("powqmix")
    found = gradients(objective, as_transitions(make_batch(SPEC, 9, 7)))
    for name, gradient in found.items():
        assert (gradient is None) == name.startswith("weighting.recognizer"), name
    trained = {id(p) for module in objective.trained() for p in module.parameters()}
    assert trained == {
        id(p) for n, p in objective.named_parameters() if n.split(".")[0] in ("agent", "mixer", "critic")
    }


def test_targets_stay_until_they_are_copied(make_batch: Callable[..., EpisodeBatch]) -> None:
    for algorithm in ("qmix", "powqmix"):
        objective = small_objective(algorithm)
        source = objective.critic if objective.critic is not None else objective
        before = [p.clone() for p in objective.target.parameters()]
        with torch.no_grad():
            for module in objective.trained():
                for parameter in module.parameters():
                    parameter.add_(1.0)
        assert all(torch.equal(p, q) for p, q in zip(objective.target.parameters(), before))
        objective.sync_targets()
        for part in ("agent", "mixer"):
            online, copied = getattr(source, part), getattr(objective.target, part)
            assert all(torch.equal(p, q) for p, q in zip(online.parameters(), copied.parameters()))
            assert not any(p is q for p, q in zip(online.parameters(), copied.parameters()))


def test_padding_changes_no_loss(make_batch: Callable[..., EpisodeBatch]) -> None:
    objective = small_objective("powqmix")
    results = []
    for padding in (0, 6):
        transitions = as_transitions(make_batch(SPEC, 9, 7, padding=padding))
        losses = objective.losses(transitions, objective.evaluate(transitions), weighted=True)
        values = {**losses.terms, **losses.metrics}
        results.append({name: value.item() for name, value in values.items()})
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_a_truncated_episode_bootstraps_from_its_last_state(make_batch: Callable[..., EpisodeBatch]) -> None:
    objective, batch = small_objective("powqmix"), make_batch(SPEC, 4, 7, padding=2)
    batch.terminated.zero_()
    last = batch.filled.long().sum(1) - 1
    first = objective.evaluate(as_transitions(batch)).target
    changed = dataclasses.replace(batch, state=batch.state.clone())
    changed.state[torch.arange(4), last + 1] += 1.0
    assert not torch.isclose(objective.evaluate(as_transitions(changed)).target, first)[torch.arange(4), last].any()
    batch.terminated[torch.arange(4), last] = 1
    changed.terminated[torch.arange(4), last] = 1
    assert torch.equal(
        objective.evaluate(as_transitions(batch)).target, objective.evaluate(as_transitions(changed)).target
    )
