"""The joint values of all joint actions of a small game: what a factorization has made of a payoff matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from powqmix import ops
from powqmix.objectives import JointGrid, Objective

MAX_JOINT_ACTIONS = 1_000_000
TABLES = "q_tot", "q_r", "q_star", "q_jt"  # of what decides, the recognizer, the critic, an unrestricted value


def joint_tables(objective: Objective, obs: Tensor, state: Tensor, avail_actions: Tensor) -> dict[str, Any]:
    """At an episode's first step: obs f32 [N, O], state f32 [S], avail_actions u8 [N, A].

    Returns `greedy_joint_action`, a list of N indices, and the objective's values of all joint actions as lists nested
    N deep, of A each: `q_tot`, and `q_r`, `q_star`, `q_jt`, each None where the algorithm has none. Raises ValueError
    where there are too many joint actions.
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
        joint = torch.cartesian_prod(*[torch.arange(actions, device=obs.device)] * agents).view(-1, 1, agents)
        grid = JointGrid(
            obs=obs[None, None],
            last_actions=nothing,
            state=state.expand(joint.shape[0], 1, -1),
            actions=joint,
            taken=q[0, 0].gather(1, joint[:, 0].t()).t().unsqueeze(1),
            best=best,
            is_greedy=(joint == greedy).all(dim=2),
        )
        values = objective.joint_values(grid)
        shape = [actions] * agents
        return {
            "greedy_joint_action": greedy.view(-1).tolist(),
            **{name: values[name].view(shape).tolist() if name in values else None for name in TABLES},
        }
