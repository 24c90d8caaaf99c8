"""What an algorithm changes of the configuration's defaults. Sources of constants are named as in `powqmix.config`."""

from __future__ import annotations

from typing import Any


def _weights(recognized: float, other: float) -> dict[str, Any]:
    """The two values of w(s, a), from the first step on."""
    return {
        "weighting.recognized_weight": recognized,
        "weighting.other_weight": other,
        "weighting.warmup_steps": 0,
    }


def _policy(epsilon_start: float, epsilon_finish: float) -> dict[str, Any]:
    """Agents that draw actions from their policy, and tell their actors of every update."""
    return {
        "agent.action_selection": "softmax",
        "exploration.epsilon_start": epsilon_start,
        "exploration.epsilon_finish": epsilon_finish,
        "training.learning_rate": 5e-4,  # [pymarl, epymarl, fop]
        "training.critic_learning_rate": 5e-4,  # [pymarl, epymarl, lica, fop]
        "training.publish_every_updates": 1,
    }


def _on_policy(batch_size: int) -> dict[str, Any]:
    """Every episode is learned from once, among the `batch_size` newest, and actors wait for what came of them."""
    return {
        "training.batch_size": batch_size,
        "replay.capacity": batch_size,
        "training.samples_per_insert": 1.0,
        "training.slack_episodes": 0,
    }


# What an algorithm changes of the defaults; the composition itself is in objectives/build.py. The recognizer's family
# is what the defaults and the presets are made for.
ALGORITHMS: dict[str, dict[str, Any]] = {
    "powqmix": {},
    "pow-vdn": {},
    "pow-qplex": {},
    "powqmix-opt": {},  # [paper] Figure 4: the recognizer's weights for the greedy joint action alone
    "qmix": _weights(1.0, 1.0),  # every step counts 1
    "vdn": _weights(1.0, 1.0),
    "qplex": _weights(1.0, 1.0),
    "cw-qmix": _weights(1.0, 0.1),  # alpha 0.1 [wqmix, pymarl2]
    "ow-qmix": _weights(1.0, 0.1),  # alpha 0.1 [wqmix, pymarl2]
    "resq": {**_weights(1.0, 1.0), "critic.hidden_size": 128},  # width of critic and residual [resq]
    "qtran": _weights(1.0, 1.0),
    "qmix-5": _weights(5.0, 5.0),  # [paper] Figure 5: POWQMIX's weights in the other algorithms
    "cw-qmix-5": _weights(5.0, 0.0),
    "ow-qmix-5": _weights(5.0, 0.0),
    "maddpg": {
        **_policy(0.0, 0.0),  # its own draws explore [epymarl]
        "critic.hidden_size": 128,  # [epymarl]
        "training.batch_size": 16,  # [epymarl]
        "training.samples_per_insert": 16.0,  # an update for each episode [epymarl]
        "training.td_lambda": 0.0,  # one step [epymarl]
        "training.target_update_interval": 1,  # every update, by maddpg.target_rate [epymarl]
    },
    "coma": {
        **_policy(0.5, 0.01),  # [pymarl]
        "exploration.anneal_steps": 100_000,  # [pymarl]
        **_on_policy(8),  # [pymarl]
        "critic.hidden_size": 128,  # [pymarl]
        "training.td_lambda": 0.8,  # [pymarl]
        "training.critic_updates": 8,  # [pymarl] takes one for each time step, about 60
        "training.target_update_interval": 200,  # 200 steps of the critic [pymarl]
    },
    "lica": {
        **_policy(0.0, 0.0),  # its own draws explore [lica]
        **_on_policy(32),  # [lica]
        "training.learning_rate": 2.5e-3,  # [lica]
        "training.td_lambda": 0.8,  # [lica]
        "training.target_update_interval": 6400,  # 200 updates [lica]
    },
    "fop": {
        **_policy(1.0, 0.05),  # [fop]
        "exploration.anneal_steps": 50_000,  # [fop]
        "critic.hidden_size": 64,  # [fop]
        "training.batch_size": 32,  # [fop]
        "training.samples_per_insert": 32.0,  # an update for each episode [fop]
        "training.td_lambda": 0.8,  # [fop]
    },
}
