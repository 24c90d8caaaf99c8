"""The C++ policy step: equal to the torch agent, epsilon-greedy on legal actions, independent of the batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix import _C
from powqmix.actors.rollout import policy_shape
from powqmix.types import PolicySpec

KERNELS = _C.policy_kernels()


def random_parameters(spec: PolicySpec, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    bound = scale / np.sqrt(spec.hidden_size)  # torch's default for these layers
    return rng.uniform(-bound, bound, spec.parameter_count).astype(np.float32)


def make_policy(spec: PolicySpec, flat: np.ndarray, *, num_envs: int, epsilon: float, isa: str = "auto", **key: int):
    policy = _C.Policy(policy_shape(spec), num_envs=num_envs, seed=key.pop("seed", 7), isa=isa, **key)
    policy.set_parameters(flat, 1)
    for env in range(num_envs):
        policy.begin(env, epsilon)
    return policy


def random_legal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    avail = (rng.random(shape) < 0.5).astype(np.uint8)
    np.put_along_axis(avail, rng.integers(shape[-1], size=(*shape[:-1], 1)), 1, axis=-1)
    return avail


class TorchAgent:
    """Linear, ReLU, GRU, Linear over sequences, in float64, filled from the flat vector by name."""

    def __init__(self, spec: PolicySpec, flat: np.ndarray) -> None:
        self.spec = spec
        self.fc_in = torch.nn.Linear(spec.input_size, spec.hidden_size)
        self.gru = torch.nn.GRU(spec.hidden_size, spec.hidden_size, batch_first=True)
        self.fc_out = torch.nn.Linear(spec.hidden_size, spec.n_actions)
        at = 0
        for name, shape in spec.parameter_shapes().items():
            layer, _, parameter = name.partition(".")
            size = int(np.prod(shape))
            values = torch.from_numpy(flat[at : at + size].reshape(shape))
            getattr(getattr(self, layer), parameter).data.copy_(values)
            at += size
        assert at == flat.size
        for layer in (self.fc_in, self.gru, self.fc_out):
            layer.double()

    @torch.no_grad()
    def q(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """obs [T, E, N, O], actions [T, E, N] -> q [T, E, N, A]."""
        steps, envs, agents, _ = obs.shape
        parts = [torch.from_numpy(obs).double()]
        if self.spec.use_last_action:
            one_hot = torch.nn.functional.one_hot(torch.from_numpy(actions).long(), self.spec.n_actions).double()
            parts.append(torch.cat([torch.zeros_like(one_hot[:1]), one_hot[:-1]]))
        if self.spec.use_agent_id:
            parts.append(torch.eye(agents, dtype=torch.float64).expand(steps, envs, agents, agents))
        x = torch.cat(parts, dim=-1).permute(1, 2, 0, 3).reshape(envs * agents, steps, -1)
        out, _ = self.gru(torch.relu(self.fc_in(x)))
        return self.fc_out(out).reshape(envs, agents, steps, -1).permute(2, 0, 1, 3).numpy()


def play(policy, obs: np.ndarray, avail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Actions [T, E, N] and values [T, E, N, A] of a policy shown these steps."""
    actions, values = [], []
    for t in range(len(obs)):
        actions.append(policy.act(obs[t], avail[t]))
        values.append(policy.q)
    return np.stack(actions), np.stack(values)


@pytest.mark.parametrize("isa", KERNELS)
@pytest.mark.parametrize(
    "sizes",  # N, A, O, H, E
    [
        (1, 1, 1, 1, 1),
        (8, 6, 30, 64, 4),
        (3, 9, 33, 33, 5),
        (5, 17, 129, 129, 3),
        (8, 15, 150, 256, 2),
        (27, 36, 70, 64, 2),
    ],
)
def test_values_equal_the_torch_agent_over_an_episode(isa: str, sizes: tuple[int, ...]) -> None:
    agents, n_actions, obs_size, hidden, envs = sizes
    rng = np.random.default_rng(sum(sizes))
    for use_last_action, use_agent_id in ((True, True), (False, True), (True, False), (False, False)):
        spec = PolicySpec(agents, n_actions, obs_size, hidden, use_last_action, use_agent_id)
        flat = random_parameters(spec, rng)
        obs = rng.standard_normal((12, envs, agents, obs_size)).astype(np.float32)
        obs *= rng.random((12, envs, agents, 1)) < 0.7  # some rows are all zeros: those are looked up
        obs[:, :, ::2] *= rng.random((12, envs, agents, obs_size))[:, :, ::2] < 0.2
        avail = random_legal(rng, 12, envs, agents, n_actions)
        actions, values = play(make_policy(spec, flat, num_envs=envs, epsilon=0.5, isa=isa), obs, avail)
        wanted = TorchAgent(spec, flat).q(obs, actions)
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("isa", KERNELS)
def test_saturated_gates_stay_finite_and_equal_the_torch_agent(isa: str) -> None:
    rng = np.random.default_rng(3)
    spec = PolicySpec(4, 5, 10, 48, True, True)
    flat = random_parameters(spec, rng, scale=20.0)
    obs = (30 * rng.standard_normal((20, 2, 4, 10))).astype(np.float32)
    avail = np.ones((20, 2, 4, 5), np.uint8)
    actions, values = play(make_policy(spec, flat, num_envs=2, epsilon=1.0, isa=isa), obs, avail)
    wanted = TorchAgent(spec, flat).q(obs, actions)
    assert np.isfinite(values).all()
    # Gates at the edge turn rounding into differences that grow over steps; the first step has no memory to grow in.
    np.testing.assert_allclose(values[0], wanted[0], rtol=1e-4, atol=1e-3)


def test_greedy_takes_the_best_legal_action_and_the_lowest_index_of_a_tie() -> None:
    rng = np.random.default_rng(5)
    spec = PolicySpec(6, 7, 4, 16, True, True)
    policy = make_policy(spec, random_parameters(spec, rng), num_envs=9, epsilon=0.0)
    for _ in range(10):
        avail = random_legal(rng, 9, 6, 7)
        actions = policy.act(rng.standard_normal((9, 6, 4)).astype(np.float32), avail)
        np.testing.assert_array_equal(actions, np.where(avail == 1, policy.q, -np.inf).argmax(-1))
    tied = make_policy(spec, np.zeros(spec.parameter_count, np.float32), num_envs=9, epsilon=0.0)
    avail = random_legal(rng, 9, 6, 7)
    actions = tied.act(np.zeros((9, 6, 4), np.float32), avail)
    np.testing.assert_array_equal(actions, avail.argmax(-1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), epsilon=st.floats(0, 1), n_actions=st.integers(1, 40), agents=st.integers(1, 9))
def test_every_action_is_legal(seed: int, epsilon: float, n_actions: int, agents: int) -> None:
    rng = np.random.default_rng(seed)
    spec = PolicySpec(agents, n_actions, 3, 8, True, True)
    policy = make_policy(spec, random_parameters(spec, rng), num_envs=3, epsilon=epsilon, seed=seed)
    for _ in range(5):
        avail = random_legal(rng, 3, agents, n_actions)
        actions = policy.act(rng.standard_normal((3, agents, 3)).astype(np.float32), avail)
        assert np.take_along_axis(avail, actions[..., None], -1).all()


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 1.0])
def test_epsilon_is_the_share_of_uniform_choices(epsilon: float) -> None:
    spec = PolicySpec(5, 6, 2, 8, False, False)
    flat = np.zeros(spec.parameter_count, np.float32)
    flat[-6:] = [0, 1, 2, 9, 4, 5]  # fc_out.bias: action 3 is the best legal one
    policy = make_policy(spec, flat, num_envs=50, epsilon=epsilon)
    avail = np.tile(np.array([1, 1, 0, 1, 0, 1], np.uint8), (50, 5, 1))
    obs = np.zeros((50, 5, 2), np.float32)
    counts = sum(np.bincount(policy.act(obs, avail).ravel(), minlength=6) for _ in range(200))
    total = 200 * 50 * 5
    wanted = np.array([1, 1, 0, 1, 0, 1]) * epsilon / 4
    wanted[3] += 1 - epsilon
    tolerance = 5 * np.sqrt(total * 0.25)  # five standard deviations
    assert counts[2] == counts[4] == 0
    np.testing.assert_allclose(counts, total * wanted, rtol=0, atol=tolerance)


def test_neighbouring_agents_and_steps_explore_independently() -> None:
    spec = PolicySpec(4, 2, 2, 8, False, False)
    policy = make_policy(spec, np.zeros(spec.parameter_count, np.float32), num_envs=1, epsilon=1.0)
    avail, obs = np.ones((1, 4, 2), np.uint8), np.zeros((1, 4, 2), np.float32)
    actions = np.stack([policy.act(obs, avail)[0] for _ in range(4000)]).astype(float)  # [T, N]
    columns = np.concatenate([actions[:-1], actions[1:]], axis=1).T  # each agent now and one step later
    correlation = np.corrcoef(columns)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("isa", KERNELS)
def test_what_an_environment_does_does_not_depend_on_how_many_there_are(isa: str) -> None:
    rng = np.random.default_rng(11)
    spec = PolicySpec(5, 6, 20, 40, True, True)
    flat = random_parameters(spec, rng)
    obs = rng.standard_normal((15, 9, 5, 20)).astype(np.float32)
    avail = random_legal(rng, 15, 9, 5, 6)
    actions, values = play(make_policy(spec, flat, num_envs=9, epsilon=0.3, isa=isa), obs, avail)
    for env in range(9):
        alone = make_policy(spec, flat, num_envs=1, epsilon=0.3, isa=isa, first_env=env)
        one_actions, one_values = play(alone, obs[:, env : env + 1].copy(), avail[:, env : env + 1].copy())
        np.testing.assert_array_equal(one_actions[:, 0], actions[:, env])
        np.testing.assert_array_equal(one_values[:, 0], values[:, env])  # bit for bit


def test_seed_env_and_episode_each_change_what_is_explored() -> None:
    spec = PolicySpec(8, 30, 2, 8, False, False)
    flat = np.zeros(spec.parameter_count, np.float32)
    obs, avail = np.zeros((1, 8, 2), np.float32), np.ones((1, 8, 30), np.uint8)

    def first_actions(seed: int, first_env: int, episodes: int) -> tuple[int, ...]:
        policy = make_policy(spec, flat, num_envs=1, epsilon=1.0, seed=seed, first_env=first_env)
        for _ in range(episodes - 1):
            policy.begin(0, 1.0)
        return tuple(policy.act(obs, avail)[0].tolist())

    base = first_actions(1, 0, 1)
    assert first_actions(1, 0, 1) == base
    others = {first_actions(2, 0, 1), first_actions(1, 1, 1), first_actions(1, 0, 2)}
    assert len(others | {base}) == 4


def test_an_episode_keeps_the_parameters_and_epsilon_it_began_with() -> None:
    rng = np.random.default_rng(2)
    spec = PolicySpec(3, 4, 6, 24, True, True)
    old, new = random_parameters(spec, rng), random_parameters(spec, rng)
    obs = rng.standard_normal((6, 3, 3, 6)).astype(np.float32)
    avail = np.ones((6, 3, 3, 4), np.uint8)
    policy = make_policy(spec, old, num_envs=3, epsilon=0.0)
    swapped_actions, swapped = [], []
    for t in range(6):
        if t == 2:
            policy.set_parameters(new, 2)
            policy.begin(1, 0.0)  # only env 1 starts anew, between two that go on
        swapped_actions.append(policy.act(obs[t], avail[t]))
        swapped.append(policy.q)
    actions, values = np.stack(swapped_actions), np.stack(swapped)
    for env in (0, 2):
        wanted = TorchAgent(spec, old).q(obs[:, env : env + 1], actions[:, env : env + 1])
        np.testing.assert_allclose(values[:, env : env + 1], wanted, atol=1e-5)
    wanted = TorchAgent(spec, new).q(obs[2:, 1:2], actions[2:, 1:2])
    np.testing.assert_allclose(values[2:, 1:2], wanted, atol=1e-5)


def test_errors_name_what_is_wrong() -> None:
    spec = PolicySpec(2, 3, 4, 8, True, True)
    policy = _C.Policy(policy_shape(spec), num_envs=2, seed=0)
    with pytest.raises(RuntimeError, match="set_parameters"):
        policy.begin(0, 0.0)
    with pytest.raises(
        ValueError, match=rf"parameters must be .*float32 \[{spec.parameter_count}\], got float32 \[3\]"
    ):
        policy.set_parameters(np.zeros(3, np.float32), 1)
    policy.set_parameters(np.zeros(spec.parameter_count, np.float32), 1)
    obs, avail = np.zeros((2, 2, 4), np.float32), np.ones((2, 2, 3), np.uint8)
    with pytest.raises(RuntimeError, match="env 0: call begin"):
        policy.act(obs, avail)
    policy.begin(0, 0.0)
    policy.begin(1, 0.0)
    with pytest.raises(ValueError, match=r"obs must be .*float32 \[2, 2, 4\], got float64 \[2, 2, 4\]"):
        policy.act(obs.astype(np.float64), avail)
    avail[1, 0] = 0
    with pytest.raises(ValueError, match="env 1, agent 0: avail_actions has no legal action at step 0"):
        policy.act(obs, avail)
    with pytest.raises(ValueError, match="no policy kernels 'mmx'"):
        _C.Policy(policy_shape(spec), num_envs=1, seed=0, isa="mmx")
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        _C.Policy(policy_shape(dataclasses.replace(spec, hidden_size=0)), num_envs=1, seed=0)
