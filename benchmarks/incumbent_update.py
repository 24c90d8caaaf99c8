"""POWQMIX's update as the usual research code writes it: what benchmarks/learner.py measures ours against.

A GRUCell is called for each step of episodes padded to the longest; one-hot inputs are concatenated and multiplied; the
target is a Python loop over time; the recognizer runs over padding too, through autograd; torch's own Adam. The
networks, the parameters, the batch and the losses are those of learner.update.Update.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from powqmix.config import Config
from powqmix.learner.update import Update
from powqmix.modules import CentralMixer, MonotonicMixer, Recognizer, RecurrentAgent
from powqmix.types import EpisodeBatch


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


class CellAgent(nn.Module):
    """The agent, one step at a time."""

    def __init__(self, agent: RecurrentAgent) -> None:
        super().__init__()
        self.policy = agent.policy
        self.fc_in, self.fc_out = copy.deepcopy(agent.fc_in), copy.deepcopy(agent.fc_out)
        self.cell = nn.GRUCell(self.policy.hidden_size, self.policy.hidden_size)
        with torch.no_grad():
            for to, value in zip(self.cell.parameters(), agent.gru.parameters(), strict=True):
                to.copy_(value)

    def forward(self, obs: Tensor, last_actions: Tensor) -> Tensor:
        """Q of every action: [B, T, N, A]."""
        batch, steps, agents, _ = obs.shape
        policy = self.policy
        hidden = obs.new_zeros(batch * agents, policy.hidden_size)
        values = []
        for t in range(steps):
            inputs = [obs[:, t]]
            if policy.use_last_action:
                inputs.append(functional.one_hot(last_actions[:, t] + 1, policy.n_actions + 1)[..., 1:].to(obs.dtype))
            if policy.use_agent_id:
                inputs.append(torch.eye(agents).expand(batch, -1, -1))
            x = functional.relu(self.fc_in(torch.cat(inputs, dim=2).view(batch * agents, -1)))
            hidden = self.cell(x, hidden)
            values.append(self.fc_out(hidden).view(batch, agents, -1))
        return torch.stack(values, dim=1)


class HypernetMixer(nn.Module):
    """The monotonic mixer with its hypernetworks one by one."""

    def __init__(self, mixer: MonotonicMixer) -> None:
        super().__init__()
        sizes = mixer._splits
        weights, biases = mixer.state_in.weight.split(sizes), mixer.state_in.bias.split(sizes)
        first = [linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        out = [copy.deepcopy(layer) for layer in (mixer.w1_out, mixer.w2_out, mixer.b2_out)]
        self.w1, self.w2, self.b2 = (nn.Sequential(a, nn.ReLU(), b) for a, b in zip(first, out))
        self.b1 = first[3]

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        batch, steps, agents = q.shape
        q, state = q.reshape(-1, 1, agents), state.reshape(-1, state.shape[-1])
        w1 = self.w1(state).abs().view(len(q), agents, -1)
        hidden = functional.elu(torch.bmm(q, w1) + self.b1(state).unsqueeze(1))
        joint = torch.bmm(hidden, self.w2(state).abs().unsqueeze(2)) + self.b2(state).unsqueeze(2)
        return joint.view(batch, steps)


class FeedForwardMixer(nn.Module):
    """The critic's mixer."""

    def __init__(self, mixer: CentralMixer) -> None:
        super().__init__()
        self.trunk, self.value = copy.deepcopy(mixer.trunk), copy.deepcopy(mixer.value)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        joint: Tensor = self.trunk(torch.cat([state, q], dim=2)) + self.value(state)
        return joint.squeeze(2)


class DenseRecognizer(nn.Module):
    """The recognizer as three networks over [state; one-hot actions]."""

    def __init__(self, net: Recognizer) -> None:
        super().__init__()
        self.n_agents, self.n_actions = net.n_agents, net.n_actions
        size = net.hidden_size
        parts = []
        for k, out in enumerate((net.w1_out, net.w2_out, net.value_out)):
            rows = slice(k * size, (k + 1) * size)
            weight = net.state_in.weight[rows]
            if k < 2:
                weight = torch.cat([weight, net.action_in[:, rows].t()], dim=1)
            first = linear(weight, net.state_in.bias[rows])
            second = linear(net.hidden_weight[k], net.hidden_bias[k, 0])
            parts.append(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), copy.deepcopy(out)))
        self.w1, self.w2, self.value = parts

    def forward(self, state: Tensor, actions: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """Q_r and sum_i lambda_i A_i, both [B, T]."""
        one_hot = functional.one_hot(actions, self.n_actions).to(state.dtype).flatten(2)
        joint = torch.cat([state, one_hot], dim=2)
        w1 = self.w1(joint).abs().unflatten(2, (self.n_agents, -1))
        scales = (w1 * self.w2(joint).abs().unsqueeze(2)).sum(3)
        advantage = (scales * advantages).sum(2)
        return self.value(state).squeeze(2) + advantage, advantage


class IncumbentUpdate:
    """Starts from the networks of `update`, and learns from a batch in the same way."""

    def __init__(self, update: Update) -> None:
        objective: Any = update.objective
        self.config: Config = update.config
        self.agent, self.mixer = CellAgent(objective.agent), HypernetMixer(objective.mixer)
        self.critic_agent = CellAgent(objective.critic.agent)
        self.critic_mixer = FeedForwardMixer(objective.critic.mixer)
        self.target_agent = copy.deepcopy(self.critic_agent)
        self.target_mixer = copy.deepcopy(self.critic_mixer)
        self.recognizer = DenseRecognizer(objective.recognizer)
        modules = (self.agent, self.mixer, self.critic_agent, self.critic_mixer)
        training = self.config.training
        self.parameters = [p for module in modules for p in module.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, lr=training.learning_rate)
        self.recognizer_parameters = list(self.recognizer.parameters())
        self.recognizer_optimiser = torch.optim.Adam(self.recognizer_parameters, lr=training.recognizer_learning_rate)

    def __call__(self, batch: EpisodeBatch) -> dict[str, float]:
        training, weighting = self.config.training, self.config.weighting
        mask = batch.filled.float()
        actions, state = batch.actions, batch.state
        last = functional.pad(actions, (0, 0, 1, 0), value=-1)
        q = self.agent(batch.obs, last)
        taken = q[:, :-1].gather(3, actions.unsqueeze(3)).squeeze(3)
        legal = q.detach().clone()
        legal[batch.avail_actions == 0] = -9999999
        best, greedy = legal.max(dim=3)
        q_star = self.critic_mixer(
            self.critic_agent(batch.obs[:, :-1], last[:, :-1]).gather(3, actions.unsqueeze(3)).squeeze(3), state[:, :-1]
        )
        with torch.no_grad():
            next_q = self.target_agent(batch.obs, last).gather(3, greedy.unsqueeze(3)).squeeze(3)
            next_value = self.target_mixer(next_q[:, 1:], state[:, 1:])
            target = self._targets(batch, next_value)
            advantages = taken - best[:, :-1]
        for _ in range(training.recognizer_updates):
            q_r, _ = self.recognizer(state[:, :-1], actions, advantages)
            loss = 0.5 * ((q_r - target) * mask).square().sum() / mask.sum()
            self.recognizer_optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.recognizer_parameters, training.grad_clip)
            self.recognizer_optimiser.step()
        with torch.no_grad():
            q_r, advantage = self.recognizer(state[:, :-1], actions, advantages)
            recognized = advantage >= -self.config.recognizer.recognition_tolerance
            weight = torch.where(recognized, weighting.recognized_weight, weighting.other_weight)
            loss_recognizer = 0.5 * ((q_r - target) * mask).square().sum() / mask.sum()
        q_tot = self.mixer(taken, state[:, :-1])
        loss_tot = 0.5 * (weight * ((q_tot - target) * mask).square()).sum() / mask.sum()
        loss_critic = 0.5 * ((q_star - target) * mask).square().sum() / mask.sum()
        self.optimiser.zero_grad()
        (loss_tot + loss_critic).backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, training.grad_clip)
        self.optimiser.step()
        losses = {"loss_tot": loss_tot, "loss_critic": loss_critic, "loss_recognizer": loss_recognizer}
        return {name: value.item() for name, value in {**losses, "grad_norm": norm}.items()}

    def _targets(self, batch: EpisodeBatch, next_value: Tensor) -> Tensor:
        """TD(lambda), backward from each episode's last step, where the value bootstraps."""
        mix, gamma = self.config.training.td_lambda, self.config.training.gamma
        filled, terminated = batch.filled.float(), batch.terminated.float()
        steps = filled.shape[1]
        targets = torch.zeros_like(next_value)
        following = torch.zeros_like(next_value[:, 0])
        for t in range(steps - 1, -1, -1):
            is_last = 1.0 if t == steps - 1 else 1.0 - filled[:, t + 1]
            ahead = next_value[:, t] * is_last + (1 - is_last) * ((1 - mix) * next_value[:, t] + mix * following)
            following = filled[:, t] * (batch.reward[:, t] + gamma * (1 - terminated[:, t]) * ahead)
            targets[:, t] = following
        return targets
