"""The interface between the update and what is minimised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from powqmix import ops
from powqmix.modules import Recognizer, RecurrentAgent
from powqmix.modules.recognizer_gradient import Regression


@dataclass(frozen=True)
class Transitions:
    """A batch of episodes as objectives read it. Padding is zero."""

    obs: Tensor  # f32 [B, T + 1, N, O]
    state: Tensor  # f32 [B, T + 1, S]
    avail_actions: Tensor  # u8 [B, T + 1, N, A]
    actions: Tensor  # i64 [B, T, N]
    last_actions: Tensor  # i64 [B, T + 1, N], -1 at t = 0
    reward: Tensor  # f32 [B, T]
    discount: Tensor  # f32 [B, T], gamma (1 - terminated)
    filled: Tensor  # u8 [B, T]
    share: Tensor  # f32 [B, T], of each step in the mean over filled steps; sums to 1
    filled_count: int  # how many steps are filled, or a bound on it where the count must not enter shapes
    env_steps: int = 0  # of the run when this is learned from: what schedules go by

    def part(self, first: int, end: int, steps: int, filled_count: int) -> Transitions:
        """Episodes first .. end - 1 as far as step `steps`, at which they have all ended. Shares stay of the whole."""
        episodes, after = slice(first, end), steps + 1
        return Transitions(
            self.obs[episodes, :after],
            self.state[episodes, :after],
            self.avail_actions[episodes, :after],
            self.actions[episodes, :steps],
            self.last_actions[episodes, :after],
            self.reward[episodes, :steps],
            self.discount[episodes, :steps],
            self.filled[episodes, :steps].contiguous(),
            self.share[episodes, :steps].contiguous(),
            filled_count,
            self.env_steps,
        )

    def mean(self, values: Tensor) -> Tensor:
        """The mean of values [B, T] over filled steps; in a part of a batch its share of the whole's."""
        return torch.dot(values.reshape(-1), self.share.view(-1))


@dataclass(frozen=True)
class AgentValues:
    """The online agents' values in a batch; those of actions have a gradient."""

    q: Tensor  # [B, T + 1, N, A]
    hidden: Tensor  # [B, T + 1, N, H]
    taken: Tensor  # [B, T, N], of the actions that were taken
    best: Tensor  # [B, T, N], of the best legal actions
    greedy: Tensor  # i64 [B, T + 1, N], the best legal actions

    def is_greedy(self, actions: Tensor) -> Tensor:
        """Whether all agents took their greedy actions: bool [B, T]."""
        return (self.greedy[:, :-1] == actions).all(dim=2)


@dataclass(frozen=True)
class Evaluation:
    """What an objective knows of a batch before its recognizer learns; objectives add their own."""

    values: AgentValues
    target: Tensor  # y [B, T]


@dataclass(frozen=True)
class JointGrid:
    """All joint actions at an episode's first step, as J = A^N episodes of one step."""

    obs: Tensor  # f32 [1, 1, N, O], the same for all
    last_actions: Tensor  # i64 [1, 1, N], -1: none
    state: Tensor  # f32 [J, 1, S]
    actions: Tensor  # i64 [J, 1, N]
    taken: Tensor  # [J, 1, N], the online agents' values of `actions`
    best: Tensor  # [1, 1, N], and of their greedy actions
    is_greedy: Tensor  # bool [J, 1]

    def pick(self, q: Tensor) -> Tensor:
        """The values [J, 1, N] of each joint action in the agents' q [1, 1, N, A]."""
        return q[0, 0].gather(1, self.actions[:, 0].t()).t().unsqueeze(1)


@dataclass
class Losses:
    """Named losses, whose sum is minimised, and what else a log should show: scalars on the device."""

    terms: dict[str, Tensor]
    metrics: dict[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        total, *others = self.terms.values()
        for term in others:
            total = total + term
        return total


class Objective(nn.Module):
    """Owns the networks, and turns a batch into named losses.

    The update calls, in this order: `evaluate` (values and targets); as often as configured the step that fits the
    recognizer to `regression`, and meanwhile `steady_losses`, which no weight enters; where there are `critics`, as
    often as configured `critic_losses`, each time with a step of their optimiser; then `weighted_losses`.
    Objectives without a recognizer have `recognizer` None and are never asked for a regression. An algorithm with a
    problem of its own (residuals, constraints) is a subclass that adds networks to `trained`, fields to its
    Evaluation, and terms to its Losses.
    """

    agent: RecurrentAgent
    splits = True  # whether the losses of parts of a batch add up to those of the whole
    capturable = True  # whether an update depends on tensors alone, not on schedules or a random stream of its own

    @property
    def recognizer(self) -> Recognizer | None:
        """The network that learns on its own, on the same batch and targets, before the weights are taken."""
        return None

    def trained(self) -> list[nn.Module]:
        """Modules of the main optimiser, in the order of its flat vector; the agent is first."""
        raise NotImplementedError

    def critics(self) -> list[nn.Module]:
        """Modules of a second optimiser, with a learning rate of its own, that steps before the main one: those that a
        policy is judged by."""
        return []

    def sync_targets(self) -> None:
        """Copies online networks into target networks."""
        raise NotImplementedError

    def evaluate(self, batch: Transitions) -> Any:
        """Unrolls the networks and forms the targets; returns an Evaluation."""
        raise NotImplementedError

    def steady_losses(self, batch: Transitions, evaluation: Any) -> Losses:
        """The losses that do not depend on weights; without terms if there are none."""
        return Losses({})

    def critic_losses(self, batch: Transitions, evaluation: Any) -> Losses:
        """The losses of `critics`, with their parameters as they are now."""
        raise NotImplementedError

    def weighted_losses(self, batch: Transitions, evaluation: Any, *, weighted: bool) -> Losses:
        """The others; all steps have weight 1 where not `weighted` (warm-up)."""
        raise NotImplementedError

    def losses(self, batch: Transitions, evaluation: Any, *, weighted: bool) -> Losses:
        """All of them."""
        first = self.weighted_losses(batch, evaluation, weighted=weighted)
        second = self.steady_losses(batch, evaluation)
        return Losses(first.terms | second.terms, first.metrics | second.metrics)

    def joint_values(self, grid: JointGrid) -> dict[str, Tensor]:
        """What each joint action is worth, [J, 1] a name: where values decide `q_tot`, whose maximum is the greedy one,
        and others."""
        raise NotImplementedError

    def agent_values(self, batch: Transitions) -> AgentValues:
        """Unrolls the online agents and selects the values of taken and greedy actions."""
        q, hidden = self.agent.unroll(batch.obs, batch.last_actions)
        # Nothing is taken at the last observation: its row is there for the greedy actions.
        actions = nn.functional.pad(batch.actions, (0, 0, 0, 1))
        taken, best, greedy = ops.select_q(q, batch.avail_actions, actions)
        return AgentValues(q, hidden, taken[:, :-1], best[:, :-1], greedy)

    def regression(self, batch: Transitions, evaluation: Evaluation) -> Regression:
        """What the recognizer is fitted to: the filled steps, as it is feed-forward, then rows of share 0 up to the
        bound on their number."""
        with torch.no_grad():
            values = evaluation.values
            rows = (
                batch.state[:, :-1].flatten(0, 1),
                batch.actions.flatten(0, 1),
                (values.taken - values.best).flatten(0, 1),
                evaluation.target.flatten(),
                batch.share.flatten(),
            )
            if batch.filled_count < batch.filled.numel():
                filled = torch.nonzero_static(batch.filled.view(-1), size=batch.filled_count).view(-1)
                there = filled >= 0  # behind the last one are -1: of these any row will do, rather different ones
                filled = torch.where(there, filled, torch.arange(batch.filled_count, device=filled.device))
                *others, share = (field.index_select(0, filled) for field in rows)
                rows = (*others, share * there)  # type: ignore[assignment]
            return Regression(*rows)
