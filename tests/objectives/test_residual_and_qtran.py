"""ResQ and QTRAN against their equations, one episode and one step at a time in Python numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from powqmix import config
from powqmix.modules import last_actions, take
from powqmix.objectives import JointGrid, Objective, build_objective
from powqmix.objectives.qtran import QTRANObjective
from powqmix.objectives.residual import ResidualObjective
from powqmix.types import EpisodeBatch

from .test_weighted_td import GAMMA, POLICY, SMALL, SPEC, TD_LAMBDA, as_transitions

OPT, NOPT = 0.7, 0.3
Make = Callable[..., EpisodeBatch]


def small(algorithm: str, seed: int = 0) -> Objective:
    """An objective whose targets differ from its online networks."""
    torch.manual_seed(seed)
    own = (f"qtran.opt_weight={OPT}", f"qtran.nopt_weight={NOPT}", "qtran.hidden_size=8")
    weights = ("weighting.recognized_weight=1", "weighting.other_weight=1")
    settings = config.resolve("predator_prey", algorithm, assignments=(*SMALL, *own, *weights))
    objective = build_objective(settings, SPEC, POLICY)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return objective


def greedy_actions(q: Tensor, batch: EpisodeBatch) -> Tensor:
    return q.masked_fill(batch.avail_actions == 0, -torch.inf).argmax(3)


@torch.no_grad()
def resq_reference(objective: ResidualObjective, batch: EpisodeBatch) -> dict[str, float]:
    before, state = last_actions(batch.actions), batch.state[:, :-1]
    q = objective.agent(batch.obs, before)
    greedy = greedy_actions(q, batch)
    q_tot = objective.mixer(take(q[:, :-1], batch.actions), state)
    residual, critic, target = objective.residual, objective.critic, objective.target
    assert critic is not None
    q_res = -residual.mixer(take(residual.agent(batch.obs, before)[:, :-1], batch.actions), state).abs()
    q_star = critic.mixer(take(critic.agent(batch.obs, before)[:, :-1], batch.actions), state)
    values = target.mixer(take(target.agent(batch.obs, before), greedy), batch.state)
    jt, star = 0.0, 0.0
    for b in range(batch.obs.shape[0]):
        length, y = int(batch.filled[b].sum()), 0.0
        for t in reversed(range(length)):
            ahead = float(values[b, t + 1])
            ahead = ahead if t == length - 1 else (1 - TD_LAMBDA) * ahead + TD_LAMBDA * y
            y = float(batch.reward[b, t]) + GAMMA * (1 - int(batch.terminated[b, t])) * ahead
            w_r = 0.0 if batch.actions[b, t].tolist() == greedy[b, t].tolist() else 1.0
            jt += 0.5 * (float(q_tot[b, t]) + w_r * float(q_res[b, t]) - y) ** 2
            star += 0.5 * (float(q_star[b, t]) - y) ** 2
    count = int(batch.filled.sum())
    return {"loss_tot": jt / count, "loss_critic": star / count}


@torch.no_grad()
def qtran_reference(objective: QTRANObjective, batch: EpisodeBatch) -> dict[str, float]:
    before, state = last_actions(batch.actions), batch.state[:, :-1]
    q, hidden = objective.agent.unroll(batch.obs, before)
    greedy = greedy_actions(q, batch)
    taken, best = take(q[:, :-1], batch.actions).sum(2), take(q, greedy)[:, :-1].sum(2)
    joint, value = objective.joint, objective.joint.state_value(state)
    q_jt, greedy_q_jt = joint(hidden[:, :-1], state, batch.actions), joint(hidden[:, :-1], state, greedy[:, :-1])
    _, target_hidden = objective.target_agent.unroll(batch.obs, before)
    ahead = objective.target_joint(target_hidden, batch.state, greedy)
    td, opt, nopt = 0.0, 0.0, 0.0
    for b in range(batch.obs.shape[0]):
        for t in range(int(batch.filled[b].sum())):
            y = float(batch.reward[b, t]) + GAMMA * (1 - int(batch.terminated[b, t])) * float(ahead[b, t + 1])
            td += 0.5 * (float(q_jt[b, t]) - y) ** 2
            opt += 0.5 * (float(best[b, t]) - float(greedy_q_jt[b, t]) + float(value[b, t])) ** 2
            nopt += 0.5 * min(0.0, float(taken[b, t]) - float(q_jt[b, t]) + float(value[b, t])) ** 2
    count = int(batch.filled.sum())
    return {"loss_td": td / count, "loss_opt": OPT * opt / count, "loss_nopt": NOPT * nopt / count}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("algorithm", "reference"), [("resq", resq_reference), ("qtran", qtran_reference)])
def test_losses_are_those_of_the_equations(
    algorithm: str, reference: Callable[..., dict[str, float]], seed: int, make_batch: Make
) -> None:
    objective = small(algorithm, seed)
    batch = make_batch(SPEC, batch_size=9, steps=7, seed=seed, padding=seed)
    transitions = as_transitions(batch)
    losses = objective.losses(transitions, objective.evaluate(transitions), weighted=True)
    expected = reference(objective, batch)
    assert min(expected.values()) > 1e-4  # each of them is tried
    assert {name: loss.item() for name, loss in losses.terms.items()} == pytest.approx(expected, rel=2e-5)


def all_joint_actions(objective: Objective, batch: EpisodeBatch) -> tuple[JointGrid, Tensor]:
    """The first step of the first episode, and its greedy joint action [N]."""
    nothing = torch.full((1, 1, SPEC.n_agents), -1)
    joint = torch.tensor(list(itertools.product(range(SPEC.n_actions), repeat=SPEC.n_agents))).unsqueeze(1)
    with torch.no_grad():
        q = objective.agent(batch.obs[:1, :1], nothing)
    greedy = q.argmax(3)[0, 0]
    grid = JointGrid(
        batch.obs[:1, :1], nothing, batch.state[:1, :1].expand(len(joint), 1, -1), joint,
        torch.stack([q[0, 0, torch.arange(SPEC.n_agents), row[0]] for row in joint]).unsqueeze(1),
        q.max(3).values, (joint == greedy).all(2),
    )  # fmt: skip
    return grid, greedy


@torch.no_grad()
def test_the_residual_lowers_all_joint_actions_but_the_greedy_one(make_batch: Make) -> None:
    objective = small("resq")
    grid, _ = all_joint_actions(objective, make_batch(SPEC, 2, 3))
    values = objective.joint_values(grid)
    difference = (values["q_jt"] - values["q_tot"])[:, 0]
    assert bool((difference <= 0).all())
    assert difference[grid.is_greedy[:, 0]].tolist() == [0.0]
    assert int((difference < 0).sum()) == len(difference) - 1
    assert int(values["q_jt"].argmax()) == int(values["q_tot"].argmax())  # IGM


@torch.no_grad()
def test_the_joint_values_of_qtran_are_the_sum_and_the_unrestricted_one(make_batch: Make) -> None:
    objective = small("qtran")
    assert isinstance(objective, QTRANObjective)
    batch = make_batch(SPEC, 2, 3)
    grid, greedy = all_joint_actions(objective, batch)
    values = objective.joint_values(grid)
    torch.testing.assert_close(values["q_tot"], grid.taken.sum(2))
    assert grid.actions[int(values["q_tot"].argmax()), 0].tolist() == greedy.tolist()
    _, hidden = objective.agent.unroll(grid.obs, grid.last_actions)
    for row in (0, 17, 63):
        one = objective.joint(hidden, grid.state[:1], grid.actions[row : row + 1])
        torch.testing.assert_close(values["q_jt"][row : row + 1], one)


def gradient_names(objective: Objective, batch: EpisodeBatch, term: str) -> set[str]:
    """The networks that a loss trains."""
    transitions = as_transitions(batch)
    losses = objective.losses(transitions, objective.evaluate(transitions), weighted=True)
    named = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(losses.terms[term], list(named.values()), allow_unused=True)
    there = [name for name, gradient in zip(named, found) if gradient is not None and bool((gradient != 0).any())]
    return {".".join(name.split(".")[:2]) if name.startswith("joint") else name.split(".")[0] for name in there}


def test_each_loss_trains_its_own_networks(make_batch: Make) -> None:
    batch = make_batch(SPEC, 9, 7)
    assert gradient_names(small("resq"), batch, "loss_tot") == {"agent", "mixer", "residual"}
    assert gradient_names(small("resq"), batch, "loss_critic") == {"critic"}
    joint = {"joint.encoder_in", "joint.encoder_out", "joint.joint"}
    assert gradient_names(small("qtran"), batch, "loss_td") == {"agent", *joint}
    for term in ("loss_opt", "loss_nopt"):  # the joint value is a constant in both
        assert gradient_names(small("qtran"), batch, term) == {"agent", "joint.value"}


def test_all_that_learns_is_trained_and_targets_are_copied() -> None:
    for algorithm in ("resq", "qtran"):
        objective = small(algorithm)
        trained = {id(p) for module in objective.trained() for p in module.parameters()}
        assert trained == {id(p) for p in objective.parameters() if p.requires_grad}
        objective.sync_targets()
        pairs = (
            [("critic", "target")] if algorithm == "resq" else [("agent", "target_agent"), ("joint", "target_joint")]
        )
        for online, copied in pairs:
            for p, q in zip(getattr(objective, online).parameters(), getattr(objective, copied).parameters()):
                assert torch.equal(p, q)
                assert p is not q
