"""Fixtures for more than one folder of tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from powqmix.types import EnvSpec, EpisodeBatch

from . import cuda_emulation

# The networks of tests are tiny: on a busy machine, threads that wait for each other cost a hundred times the work.
torch.set_num_threads(1)

MakeBatch = Callable[..., EpisodeBatch]


@pytest.fixture(params=["cpu", "emulated", cuda_emulation.GPU])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where kernels run: the CPU's own, the CUDA kernels emulated on CPU tensors, and a GPU where there is one."""
    if request.param == "emulated":
        cuda_emulation.use(monkeypatch)
        return "cpu"
    return str(request.param)


@pytest.fixture
def make_batch() -> MakeBatch:
    """Makes random batches: lengths 1..T, terminated and truncated episodes, illegal actions, zero padding."""

    def make(spec: EnvSpec, batch_size: int, steps: int, seed: int = 0, padding: int = 0) -> EpisodeBatch:
        g = torch.Generator().manual_seed(seed)
        total = steps + padding
        lengths = torch.randint(1, steps + 1, (batch_size,), generator=g)
        lengths[0] = steps
        terminates = torch.randint(0, 2, (batch_size,), generator=g)
        obs = torch.zeros(batch_size, total + 1, spec.n_agents, spec.obs_size)
        state = torch.zeros(batch_size, total + 1, spec.state_size)
        avail = torch.zeros(batch_size, total + 1, spec.n_agents, spec.n_actions, dtype=torch.uint8)
        actions = torch.zeros(batch_size, total, spec.n_agents, dtype=torch.int64)
        reward = torch.zeros(batch_size, total)
        terminated = torch.zeros(batch_size, total, dtype=torch.uint8)
        filled = torch.zeros(batch_size, total, dtype=torch.uint8)
        for b, length in enumerate(lengths.tolist()):
            obs[b, : length + 1] = torch.randn(length + 1, spec.n_agents, spec.obs_size, generator=g)
            state[b, : length + 1] = torch.randn(length + 1, spec.state_size, generator=g)
            legal = torch.randint(0, 2, (length + 1, spec.n_agents, spec.n_actions), generator=g, dtype=torch.uint8)
            always = torch.randint(0, spec.n_actions, (length + 1, spec.n_agents, 1), generator=g)
            avail[b, : length + 1] = legal.scatter(2, always, 1)
            actions[b, :length] = always[:length, :, 0]
            reward[b, :length] = torch.randn(length, generator=g)
            terminated[b, length - 1] = terminates[b]
            filled[b, :length] = 1
        return EpisodeBatch(obs, state, avail, actions, reward, terminated, filled, int(lengths.sum()))

    return make
