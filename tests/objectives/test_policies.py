"""MADDPG, COMA, LICA and FOP against their equations, with loops in Python and probabilities by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from powqmix import config
from powqmix.config import ConfigError
from powqmix.modules import last_actions, take
from powqmix.objectives import Transitions, build_objective
from powqmix.objectives.fop import FOPObjective
from powqmix.objectives.maddpg import MADDPGObjective
from powqmix.objectives.policy import PolicyObjective, log_softmax
from powqmix.types import EpisodeBatch

from .test_weighted_td import GAMMA, SMALL, SPEC, as_transitions

Make = Callable[..., EpisodeBatch]
POLICIES = "maddpg", "coma", "lica", "fop"
ENV_STEPS = 60_000
EPSILON = {"maddpg": 0.0, "coma": 0.5 - 0.6 * 0.49, "lica": 0.0, "fop": 0.05}  # at ENV_STEPS
TEMPERATURE = 0.5 - 0.45 * 60 / 90
LAMBDA, ENTROPY_WEIGHT, LOGIT_WEIGHT = 0.7, 0.3, 0.2
B, T, N, A = 9, 7, SPEC.n_agents, SPEC.n_actions


class FixedNoise(nn.Module):
    """The same numbers at every call, the first steps of them where fewer are wanted."""

    def __init__(self) -> None:
        super().__init__()
        uniform = torch.rand(B, 2 * T, N, A, generator=torch.Generator().manual_seed(5))
        self.numbers = -(-uniform.log()).log()

    def forward(self, like: Tensor) -> Tensor:
        return self.numbers[:, : like.shape[1]]


def small(algorithm: str, seed: int = 0) -> PolicyObjective:
    """An objective whose targets differ from its online networks, and whose noise is known."""
    torch.manual_seed(seed)
    own = (
        f"training.td_lambda={LAMBDA}", f"lica.entropy_weight={ENTROPY_WEIGHT}", f"maddpg.logit_weight={LOGIT_WEIGHT}",
        "maddpg.target_rate=1",
    )  # fmt: skip
    settings = config.resolve("predator_prey", algorithm, assignments=(*SMALL, *own, "agent.hidden_size=8"))
    policy = dataclasses.replace(settings.agent, use_agent_id=True).policy(SPEC)
    objective = build_objective(settings, SPEC, policy)
    assert isinstance(objective, PolicyObjective)
    objective.noise = FixedNoise()  # type: ignore[assignment]
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return objective


def transitions_of(batch: EpisodeBatch) -> Transitions:
    return dataclasses.replace(as_transitions(batch), env_steps=ENV_STEPS)


def one_hot(actions: Tensor) -> Tensor:
    return torch.eye(A)[actions]


def probabilities(logits: Tensor, batch: EpisodeBatch, epsilon: float) -> Tensor:
    """pi [B, T + 1, N, A], 0 for illegal actions and in rows without legal ones."""
    legal = batch.avail_actions.float()
    weights = legal * logits.exp()
    even = legal / legal.sum(3, keepdim=True).clamp(min=1)
    return (1 - epsilon) * weights / weights.sum(3, keepdim=True).clamp(min=1e-30) + epsilon * even


def drawn(policy: Tensor) -> Tensor:
    return (policy.clamp(min=1e-38).log() + FixedNoise().numbers[:, : policy.shape[1]]).argmax(3)


def next_actions(batch: EpisodeBatch, policy: Tensor) -> Tensor:
    """Taken ones, and at the last observation of an episode drawn ones."""
    found = drawn(policy)[:, 1:].clone()
    for b, length in enumerate(batch.filled.sum(1).tolist()):
        found[b, : length - 1] = batch.actions[b, 1:length]
    return found


def lambda_target(batch: EpisodeBatch, next_value: Tensor, td_lambda: float = LAMBDA) -> Tensor:
    """y [B, T] of next_value [B, T], backward from the last filled step."""
    target = torch.zeros_like(next_value)
    for b, length in enumerate(batch.filled.sum(1).tolist()):
        y = 0.0
        for t in reversed(range(length)):
            ahead = float(next_value[b, t])
            ahead = ahead if t == length - 1 else (1 - td_lambda) * ahead + td_lambda * y
            y = float(batch.reward[b, t]) + GAMMA * (1 - int(batch.terminated[b, t])) * ahead
            target[b, t] = y
    return target


def mean(values: Tensor, batch: EpisodeBatch) -> float:
    """Over filled steps, and whatever other axes there are."""
    return float(values[batch.filled.bool()].mean())


@torch.no_grad()
def maddpg_reference(objective: PolicyObjective, batch: EpisodeBatch) -> dict[str, float]:
    assert isinstance(objective, MADDPGObjective)
    before, state = last_actions(batch.actions), batch.state
    logits = objective.agent(batch.obs, before)
    target_logits = objective.target_agent(batch.obs, before)
    best = target_logits.masked_fill(batch.avail_actions == 0, -torch.inf).argmax(3)
    y = lambda_target(batch, objective.target(state[:, 1:], one_hot(best)[:, 1:]))
    q = objective.critic(state[:, :-1], one_hot(batch.actions))
    draws = one_hot(drawn(probabilities(logits, batch, 0.0)))[:, :-1]
    squares = (logits * batch.avail_actions)[:, :-1].square()
    return {
        "loss_critic": mean(0.5 * (q - y) ** 2, batch),
        "loss_policy": -mean(objective.critic(state[:, :-1], draws), batch),
        "loss_logits": LOGIT_WEIGHT * mean(squares, batch),
    }


@torch.no_grad()
def coma_reference(objective: PolicyObjective, batch: EpisodeBatch) -> dict[str, float]:
    before, state = last_actions(batch.actions), batch.state
    policy = probabilities(objective.agent(batch.obs, before), batch, EPSILON["coma"])
    following = next_actions(batch, policy)
    after = take(objective.target(batch.obs[:, 1:], state[:, 1:], following, batch.actions), following)
    y = torch.stack([lambda_target(batch, after[:, :, i]) for i in range(N)], dim=2)
    q = objective.critic(batch.obs[:, :-1], state[:, :-1], batch.actions, before[:, :-1])
    gain = torch.zeros(B, batch.actions.shape[1], N)
    for b, length in enumerate(batch.filled.sum(1).tolist()):
        for t in range(length):
            for i in range(N):
                a = int(batch.actions[b, t, i])
                baseline = sum(float(policy[b, t, i, c]) * float(q[b, t, i, c]) for c in range(A))
                gain[b, t, i] = (float(q[b, t, i, a]) - baseline) * float(policy[b, t, i, a].log())
    return {
        "loss_critic": mean(0.5 * (take(q, batch.actions) - y) ** 2, batch),
        "loss_policy": -mean(gain, batch),
    }


@torch.no_grad()
def lica_reference(objective: PolicyObjective, batch: EpisodeBatch) -> dict[str, float]:
    policy = probabilities(objective.agent(batch.obs, last_actions(batch.actions)), batch, 0.0)
    state = batch.state
    y = lambda_target(batch, objective.target(state[:, 1:], one_hot(next_actions(batch, policy))))
    q = objective.critic(state[:, :-1], one_hot(batch.actions))
    return {
        "loss_critic": mean(0.5 * (q - y) ** 2, batch),
        "loss_policy": -mean(objective.critic(state[:, :-1], policy[:, :-1]), batch),
        "loss_entropy": -ENTROPY_WEIGHT,  # of whatever size the entropy is
    }


@torch.no_grad()
def fop_reference(objective: PolicyObjective, batch: EpisodeBatch) -> dict[str, float]:
    policy = probabilities(objective.agent(batch.obs, last_actions(batch.actions)), batch, EPSILON["fop"])
    following, legal = drawn(policy)[:, 1:], batch.avail_actions

    def joint(net: nn.Module, steps: slice, actions: Tensor) -> Tensor:
        q = net(batch.obs[:, steps])
        soft = TEMPERATURE * ((q / TEMPERATURE).exp() * legal[:, steps]).sum(3).clamp(min=1e-30).log()
        advantages = take(q, actions) - soft
        state = batch.state[:, steps]
        scales = net.scales(state, actions)  # type: ignore[operator]
        return net.value(state)[..., 0] + (take(q, actions) + (scales - 1) * advantages).sum(2)  # type: ignore[operator]

    first, second = objective.critic.children()
    after = [joint(net, slice(1, None), following) for net in objective.target.children()]
    surprise = take(policy[:, 1:], following).clamp(min=1e-30).log().mean(2)
    y = lambda_target(batch, torch.minimum(*after))
    y = y - GAMMA * (1 - batch.terminated.float()) * TEMPERATURE * surprise
    now = slice(None, -1)
    own = torch.minimum(first(batch.obs[:, now]), second(batch.obs[:, now]))
    log_policy = policy[:, now].clamp(min=1e-30).log()
    return {
        "loss_critic": mean(0.5 * (joint(first, now, batch.actions) - y) ** 2, batch),
        "loss_critic_2": mean(0.5 * (joint(second, now, batch.actions) - y) ** 2, batch),
        "loss_policy": mean((policy[:, now] * (TEMPERATURE * log_policy - own)).sum(3), batch),
    }


REFERENCES = {"maddpg": maddpg_reference, "coma": coma_reference, "lica": lica_reference, "fop": fop_reference}


def terms(objective: PolicyObjective, batch: EpisodeBatch) -> dict[str, Tensor]:
    transitions = transitions_of(batch)
    evaluation = objective.evaluate(transitions)
    critic = objective.critic_losses(transitions, evaluation)
    return critic.terms | objective.weighted_losses(transitions, evaluation, weighted=True).terms


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("algorithm", POLICIES)
def test_losses_are_those_of_the_equations(algorithm: str, seed: int, make_batch: Make) -> None:
    objective = small(algorithm, seed)
    batch = make_batch(SPEC, B, T, seed=seed, padding=seed)
    found = {name: term.item() for name, term in terms(objective, batch).items()}
    assert found == pytest.approx(REFERENCES[algorithm](objective, batch), rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_critic_losses_train_the_critic_alone_and_policy_losses_the_agent(algorithm: str, make_batch: Make) -> None:
    objective = small(algorithm)
    batch = make_batch(SPEC, B, T)
    losses = terms(objective, batch)
    agent = list(objective.agent.parameters())
    critic = list(objective.critic.parameters())
    for name, loss in losses.items():
        of_agent = torch.autograd.grad(loss, agent, allow_unused=True, retain_graph=True)
        of_critic = torch.autograd.grad(loss, critic, allow_unused=True, retain_graph=True)
        judges = name.startswith("loss_critic")
        assert any(g is not None and bool((g != 0).any()) for g in of_agent) != judges
        if judges:
            assert any(g is not None and bool((g != 0).any()) for g in of_critic)
        if algorithm in ("coma", "fop") and not judges:  # their policy's loss holds the critic constant
            assert all(g is None for g in of_critic)
    assert not any(p.requires_grad for p in objective.target.parameters())


@pytest.mark.parametrize("algorithm", POLICIES)
def test_all_that_learns_is_trained_once_and_targets_are_copied(algorithm: str) -> None:
    objective = small(algorithm)
    trained = [id(p) for module in (*objective.trained(), *objective.critics()) for p in module.parameters()]
    assert len(trained) == len(set(trained))
    assert set(trained) == {id(p) for p in objective.parameters() if p.requires_grad}
    objective.sync_targets()
    pairs = [(objective.target, objective.critic)]
    if isinstance(objective, MADDPGObjective):
        pairs.append((objective.target_agent, objective.agent))
    for target, source in pairs:
        assert all(torch.equal(p, q) for p, q in zip(target.parameters(), source.parameters()))


def test_targets_follow_by_the_configured_share() -> None:
    objective = small("maddpg")
    assert isinstance(objective, MADDPGObjective)
    objective.target_rate = 0.25
    before = [p.clone() for p in objective.target.parameters()]
    objective.sync_targets()
    for old, new, source in zip(before, objective.target.parameters(), objective.critic.parameters()):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * source)


def test_the_straight_through_gradient_is_that_of_the_softmax(make_batch: Make) -> None:
    """Against finite differences of sum_i c_i softmax_i, with c the critic's own gradient at the draw."""
    objective, batch = small("maddpg"), make_batch(SPEC, B, T)
    transitions = transitions_of(batch)
    evaluation = objective.evaluate(transitions)
    log_policy = evaluation.log_policy
    (found,) = torch.autograd.grad(
        objective.weighted_losses(transitions, evaluation, weighted=True).terms["loss_policy"], log_policy
    )
    soft = (log_policy + FixedNoise().numbers[:, :T]).softmax(3).detach()
    hard = one_hot(soft.argmax(3)).requires_grad_(True)
    (c,) = torch.autograd.grad(-transitions.mean(objective.critic(batch.state[:, :-1], hard)), hard)
    torch.testing.assert_close(found, soft * (c - (soft * c).sum(3, keepdim=True)), rtol=1e-4, atol=1e-7)


def test_counterfactual_advantages_average_to_nothing_under_the_policy(make_batch: Make) -> None:
    """With every action taken once in turn, weighted by the policy, the gain's gradient in a constant critic is 0."""
    objective, batch = small("coma"), make_batch(SPEC, B, T)
    with torch.no_grad():
        for parameter in objective.critic.parameters():
            parameter.zero_()
    losses = terms(objective, batch)
    assert losses["loss_policy"].item() == 0.0


def test_entropy_is_pushed_with_the_same_force_however_small_it_is(make_batch: Make) -> None:
    objective, batch = small("lica"), make_batch(SPEC, B, T)
    assert terms(objective, batch)["loss_entropy"].item() == pytest.approx(-ENTROPY_WEIGHT)
    with torch.no_grad():
        objective.agent.fc_out.weight.mul_(8.0)
    assert terms(objective, batch)["loss_entropy"].item() == pytest.approx(-ENTROPY_WEIGHT)


def test_schedules_go_by_the_steps_of_the_run(make_batch: Make) -> None:
    batch = make_batch(SPEC, B, T)
    fop = small("fop")
    assert isinstance(fop, FOPObjective)
    assert [fop.temperature(s) for s in (0, 45_000, 90_000, 10**7)] == pytest.approx([0.5, 0.275, 0.05, 0.05])
    early = fop.evaluate(as_transitions(batch)).log_policy  # epsilon is 1
    assert early[0, 0, 0].exp().max().item() == pytest.approx(1 / int(batch.avail_actions[0, 0, 0].sum()))


def test_log_softmax_of_padding_and_of_illegal_actions_is_finite() -> None:
    logits = torch.tensor([[[[1.0, 2.0, 300.0]], [[1.0, 2.0, 3.0]]]], requires_grad=True)
    avail = torch.tensor([[[[1, 1, 0]], [[0, 0, 0]]]], dtype=torch.uint8)
    for epsilon in (0.0, 0.5, 1.0):
        found = log_softmax(logits, avail, epsilon)
        assert bool(found.isfinite().all())
        assert found.exp().sum(3).flatten().tolist() == pytest.approx([1.0, 1.0])
        assert found[0, 0, 0, 2].exp().item() == 0.0
        (gradient,) = torch.autograd.grad(found[0, 0, 0, 0] + found[0, 1].sum(), logits)
        assert bool(gradient.isfinite().all())
        assert gradient[0, 0, 0, 2].item() == 0.0


def test_an_algorithm_of_policies_refuses_actors_that_do_not_draw() -> None:
    settings = config.resolve("predator_prey", "coma", assignments=["agent.action_selection=epsilon_greedy"])
    with pytest.raises(ConfigError, match=r"coma trains a policy .* set agent.action_selection=softmax"):
        build_objective(settings, SPEC, settings.agent.policy(SPEC))
    with pytest.raises(ConfigError, match=r"agent.action_selection must be .*softmax.*got .greedy."):
        config.resolve("predator_prey", "qmix", assignments=["agent.action_selection=greedy"])


@pytest.mark.parametrize("env", ["matrix/powqmix", "predator_prey", "skirmish/3m"])
@pytest.mark.parametrize(("algorithm", "batch"), [("coma", 8), ("lica", 32)])
def test_what_is_on_policy_learns_from_every_episode_once_under_every_preset(
    algorithm: str, batch: int, env: str
) -> None:
    settings = config.resolve(env, algorithm)
    assert settings.training.batch_size == settings.replay.capacity == batch
    assert (settings.training.samples_per_insert, settings.training.slack_episodes) == (1.0, 0)
    assert settings.training.publish_every_updates == 1
    assert settings.agent.action_selection == "softmax"
