"""The joint values of all joint actions of a small game: what a factorization has made of a payoff matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from powqmix import ops
from powqmix.objectives import Objective

MAX_JOINT_ACTIONS = 1_000_000


def joint_tables(objective: Objective, obs: Tensor, state: Tensor, avail_actions: Tensor) -> dict[str, Any]:
    """At an episode's first step: obs f32 [N, O], state f32 [S], avail_actions u8 [N, A].

    Returns `greedy_joint_action`, a list of N indices, and `q_tot` and `q_r` as lists nested N deep, of A each;
    `q_r` is None where there is no recognizer. Raises ValueError where there are too many joint actions.
    """
    agents, actions = avail_actions.shape
    if actions**agents > MAX_JOINT_ACTIONS:
        raise ValueError(
            f"{agents} agents with {actions} actions have {actions**agents} joint actions; "
            f"tables are made of at most {MAX_JOINT_ACTIONS}"
        )
    with torch.no_grad():
        nothing = torch.full((1, 1, agents), -1, dtype=torch.int64, device=obs.device)
        q = objective.agent(obs[None, None], nothing)  # [1, 1, N, A]
        _, best, greedy = ops.select_q(q, avail_actions[None, None], nothing.clamp(min=0))
        grid = torch.cartesian_prod(*[torch.arange(actions, device=obs.device)] * agents)
        joint = grid.view(-1, 1, agents)  # [A^N, 1, N]
        taken = q[0, 0].gather(1, grid.t()).t().unsqueeze(1)  # [A^N, 1, N]
        states = state.expand(joint.shape[0], 1, -1)
        q_tot = objective.joint_q(taken, states)
        q_r = None
        if objective.recognizer is not None:
            output = objective.recognizer(states, joint)
            q_r = output.state_value + (ops.hyper_scales(output.w1, output.w2) * (taken - best)).sum(dim=2)
        shape = [actions] * agents
        return {
            "greedy_joint_action": greedy.view(-1).tolist(),
            "q_tot": q_tot.view(shape).tolist(),
            "q_r": None if q_r is None else q_r.view(shape).tolist(),
        }
