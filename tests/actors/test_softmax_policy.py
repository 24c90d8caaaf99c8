"""Policies that draw their actions: the distribution, legality, independence, and what stays of epsilon-greedy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import _C
from powqmix.actors.rollout import policy_shape
from powqmix.types import PolicySpec

from .test_policy import KERNELS, make_policy, play, random_legal, random_parameters

# Chi-square, 1 in 1000, by degrees of freedom. Draws are a function of the seed: what passes once passes always.
CHI_SQUARE = {1: 10.83, 3: 16.27, 8: 26.12}


def softmax_spec(agents: int, n_actions: int, obs_size: int = 2, hidden: int = 8) -> PolicySpec:
    return PolicySpec(agents, n_actions, obs_size, hidden, False, False, action_selection="softmax")


def constant_logits(spec: PolicySpec, logits: list[float]) -> np.ndarray:
    """Parameters whose outputs are `logits`, whatever is seen."""
    flat = np.zeros(spec.parameter_count, np.float32)
    flat[-spec.n_actions :] = logits  # fc_out.bias
    return flat


def chi_square(counts: np.ndarray, shares: np.ndarray) -> float:
    wanted = shares * counts.sum()
    return float(((counts - wanted) ** 2 / wanted).sum())


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("logits", [[0.0, 1.0, 2.5, -1.0, 0.5, 7.0], [0.0] * 6])
def test_draws_have_the_softmax_of_the_legal_logits_mixed_with_epsilon(logits: list[float], epsilon: float) -> None:
    spec = softmax_spec(5, 6)
    policy = make_policy(spec, constant_logits(spec, logits), num_envs=20, epsilon=epsilon)
    legal = np.array([1, 1, 0, 1, 1, 0], np.uint8)  # among the others is the largest logit
    avail, obs = np.tile(legal, (20, 5, 1)), np.zeros((20, 5, 2), np.float32)
    counts = sum(np.bincount(policy.act(obs, avail).ravel(), minlength=6) for _ in range(400))
    assert counts.sum() == 400 * 20 * 5
    assert counts[legal == 0].tolist() == [0, 0]
    weights = np.exp(np.array(logits)) * legal
    shares = (1 - epsilon) * weights / weights.sum() + epsilon * legal / legal.sum()
    assert chi_square(counts[legal == 1], shares[legal == 1]) < CHI_SQUARE[3]


def test_each_agent_has_its_own_logits() -> None:
    spec = softmax_spec(2, 2, obs_size=1, hidden=1)
    flat = np.zeros(spec.parameter_count, np.float32)
    shapes = spec.parameter_shapes()
    at = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
    offset = dict(zip(shapes, at))
    flat[offset["fc_in.weight"]] = 1.0
    flat[offset["gru.weight_ih_l0"] + 2] = 1.0  # the new state's gate
    flat[offset["fc_out.weight"]] = 4.0
    policy = make_policy(spec, flat, num_envs=1, epsilon=0.0)
    obs, avail = np.array([[[0.0], [1.0]]], np.float32), np.ones((1, 2, 2), np.uint8)
    counts, shares = np.zeros((2, 2)), np.zeros((2, 2))
    for _ in range(4000):
        policy.begin(0, 0.0)
        actions = policy.act(obs, avail)[0]
        counts[[0, 1], actions] += 1
        outputs = np.exp(policy.q[0])
        shares = outputs / outputs.sum(1, keepdims=True)
    assert shares[0, 0] == 0.5
    assert shares[1, 0] > 0.7
    for agent in range(2):
        assert chi_square(counts[agent], shares[agent]) < CHI_SQUARE[1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), epsilon=st.floats(0, 1), n_actions=st.integers(1, 40), agents=st.integers(1, 9))
def test_every_drawn_action_is_legal(seed: int, epsilon: float, n_actions: int, agents: int) -> None:
    rng = np.random.default_rng(seed)
    spec = PolicySpec(agents, n_actions, 3, 8, True, True, action_selection="softmax")
    policy = make_policy(spec, 30 * random_parameters(spec, rng), num_envs=3, epsilon=epsilon, seed=seed)
    for _ in range(5):
        avail = random_legal(rng, 3, agents, n_actions)
        actions = policy.act(rng.standard_normal((3, agents, 3)).astype(np.float32), avail)
        assert np.take_along_axis(avail, actions[..., None], -1).all()


def test_an_action_that_is_nearly_certain_is_nearly_always_drawn() -> None:
    spec = softmax_spec(3, 4)
    policy = make_policy(spec, constant_logits(spec, [0.0, 60.0, 0.0, 0.0]), num_envs=10, epsilon=0.0)
    obs, avail = np.zeros((10, 3, 2), np.float32), np.ones((10, 3, 4), np.uint8)
    assert all((policy.act(obs, avail) == 1).all() for _ in range(100))


def test_neighbouring_agents_and_steps_draw_independently() -> None:
    spec = softmax_spec(3, 3)
    policy = make_policy(spec, constant_logits(spec, [0.0] * 3), num_envs=1, epsilon=0.0)
    obs, avail = np.zeros((1, 3, 2), np.float32), np.ones((1, 3, 3), np.uint8)
    actions = np.stack([policy.act(obs, avail)[0] for _ in range(5000)])  # [T, N]
    columns = np.concatenate([actions[:-1], actions[1:]], axis=1).T  # each agent now and one step later
    pairs = [(0, 1), (1, 2), (0, 2), (0, 3), (0, 4), (1, 3)]
    for first, second in pairs:
        joint = np.bincount(columns[first] * 3 + columns[second], minlength=9)
        assert chi_square(joint, np.full(9, 1 / 9)) < CHI_SQUARE[8]


@pytest.mark.parametrize("isa", KERNELS)
def test_what_an_environment_draws_does_not_depend_on_how_many_there_are(isa: str) -> None:
    rng = np.random.default_rng(11)
    spec = PolicySpec(5, 6, 20, 40, True, True, action_selection="softmax")
    flat = random_parameters(spec, rng)
    obs = rng.standard_normal((15, 9, 5, 20)).astype(np.float32)
    avail = random_legal(rng, 15, 9, 5, 6)
    actions, _ = play(make_policy(spec, flat, num_envs=9, epsilon=0.1, isa=isa), obs, avail)
    for env in range(9):
        alone = make_policy(spec, flat, num_envs=1, epsilon=0.1, isa=isa, first_env=env)
        one_actions, _ = play(alone, obs[:, env : env + 1].copy(), avail[:, env : env + 1].copy())
        np.testing.assert_array_equal(one_actions[:, 0], actions[:, env])


def test_seed_env_and_episode_each_change_what_is_drawn() -> None:
    spec = softmax_spec(8, 30)
    obs, avail = np.zeros((1, 8, 2), np.float32), np.ones((1, 8, 30), np.uint8)

    def first_actions(seed: int, first_env: int, episodes: int) -> tuple[int, ...]:
        policy = make_policy(
            spec, constant_logits(spec, [0.0] * 30), num_envs=1, epsilon=0.0, seed=seed, first_env=first_env
        )
        for _ in range(episodes - 1):
            policy.begin(0, 0.0)
        return tuple(policy.act(obs, avail)[0].tolist())

    base = first_actions(1, 0, 1)
    assert first_actions(1, 0, 1) == base
    assert len({base, first_actions(2, 0, 1), first_actions(1, 1, 1), first_actions(1, 0, 2)}) == 4


def test_a_greedy_spec_takes_the_largest_legal_logit() -> None:
    rng = np.random.default_rng(5)
    spec = PolicySpec(6, 7, 4, 16, True, True, action_selection="softmax")
    policy = make_policy(spec.greedy(), random_parameters(spec, rng), num_envs=9, epsilon=0.0)
    for _ in range(10):
        avail = random_legal(rng, 9, 6, 7)
        actions = policy.act(rng.standard_normal((9, 6, 4)).astype(np.float32), avail)
        np.testing.assert_array_equal(actions, np.where(avail == 1, policy.q, -np.inf).argmax(-1))


def test_epsilon_greedy_explores_as_it_did_before_there_was_another_way() -> None:
    spec = PolicySpec(3, 7, 2, 8, False, False)
    policy = make_policy(spec, constant_logits(spec, [0, 1, 2, 9, 4, 5, 3]), num_envs=2, epsilon=0.5, first_env=5)
    policy.begin(1, 0.5)
    avail = np.tile(np.array([1, 1, 0, 1, 0, 1, 1], np.uint8), (2, 3, 1))
    obs = np.zeros((2, 3, 2), np.float32)
    assert [policy.act(obs, avail).ravel().tolist() for _ in range(6)] == [
        [3, 3, 0, 3, 3, 3], [3, 6, 3, 1, 3, 6], [3, 0, 3, 6, 3, 0],
        [3, 6, 5, 0, 3, 3], [3, 3, 3, 3, 6, 3], [6, 3, 5, 3, 3, 3],
    ]  # fmt: skip


def test_a_step_without_legal_actions_and_an_unknown_selection_are_errors() -> None:
    spec = softmax_spec(2, 3)
    policy = make_policy(spec, constant_logits(spec, [0.0] * 3), num_envs=1, epsilon=0.0)
    avail = np.ones((1, 2, 3), np.uint8)
    avail[0, 1] = 0
    with pytest.raises(ValueError, match="env 0, agent 1: avail_actions has no legal action at step 0"):
        policy.act(np.zeros((1, 2, 2), np.float32), avail)
    with pytest.raises(ValueError, match="action_selection must be 'epsilon_greedy' or 'softmax', got 'greedy'"):
        _C.PolicyShape(
            n_agents=1, n_actions=2, obs_size=1, hidden_size=1, use_last_action=False, use_agent_id=False,
            action_selection="greedy",
        )  # fmt: skip
    assert policy_shape(spec).parameter_count == spec.parameter_count
