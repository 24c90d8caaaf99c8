"""The values of a run's configuration: frozen dataclasses with defaults and checks, each value with its source.

The defaults are the paper's (arXiv 2405.08036). Sources of constants: [paper] its text, [code] the authors' published
settings, [pymarl2] the framework both build on, [wqmix], [qplex], [resq], [pymarl], [epymarl], [lica], [fop] those
works' own settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from powqmix.types import ACTION_SELECTIONS, EnvSpec, PolicySpec

DEVICE_COPY = ("auto", "on", "off")
LOCKSTEP_ENVS = 8  # environments of the single actor of a lockstep run [paper: 8 in parallel]


class ConfigError(ValueError):
    """A configuration that cannot run; the message names the key, what was wanted, what came, and the remedy."""


def require(condition: bool, key: str, wanted: str, got: object) -> None:
    """Raises ConfigError naming `key` unless `condition`."""
    if not condition:
        raise ConfigError(f"{key} must be {wanted}, got {got!r}")


def _positive(section: str, config: object, *names: str) -> None:
    for name in names:
        require(getattr(config, name) > 0, f"{section}.{name}", "above 0", getattr(config, name))


def _fraction(section: str, config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        require(0.0 <= value <= 1.0, f"{section}.{name}", "between 0 and 1", value)


@dataclass(frozen=True)
class AgentConfig:
    """RecurrentAgent: Linear -> ReLU -> GRU -> Linear, one set of parameters for all agents."""

    hidden_size: int = 64  # [pymarl2]; 256 in the large variant for 3s5z_vs_3s6z
    use_last_action: bool = True  # [pymarl2]; off in the matrix game
    use_agent_id: bool = True  # [pymarl2]; off in predator-prey
    action_selection: str = "epsilon_greedy"  # on values; "softmax" draws from a policy: the algorithm decides

    def __post_init__(self) -> None:
        _positive("agent", self, "hidden_size")
        wanted = " or ".join(map(repr, ACTION_SELECTIONS))
        require(self.action_selection in ACTION_SELECTIONS, "agent.action_selection", wanted, self.action_selection)

    def policy(self, spec: EnvSpec) -> PolicySpec:
        """The agent of these sizes for an environment of `spec`."""
        return PolicySpec(
            spec.n_agents, spec.n_actions, spec.obs_size,
            self.hidden_size, self.use_last_action, self.use_agent_id, self.action_selection,
        )  # fmt: skip


@dataclass(frozen=True)
class MixerConfig:
    """MonotonicMixer of fine-tuned QMIX."""

    embed_size: int = 32  # [pymarl2]
    hypernet_size: int = 64  # [pymarl2]

    def __post_init__(self) -> None:
        _positive("mixer", self, "embed_size", "hypernet_size")


@dataclass(frozen=True)
class CriticConfig:
    """CentralMixer of Q^*, over central agents of its own; and what policies are judged by."""

    hidden_size: int = 256  # [wqmix, pymarl2]; 64 in [code]

    def __post_init__(self) -> None:
        _positive("critic", self, "hidden_size")


@dataclass(frozen=True)
class RecognizerConfig:
    """Recognizer Q_r, which finds the potentially optimal joint actions (Eq. 5)."""

    embed_size: int = 64  # [code]
    hidden_size: int = 128  # [code]
    recognition_tolerance: float = 0.05  # C of Eq. 11 [paper]; 0.1 in [code], 1 in predator-prey with p = -3

    def __post_init__(self) -> None:
        _positive("recognizer", self, "embed_size", "hidden_size")
        require(
            self.recognition_tolerance >= 0,
            "recognizer.recognition_tolerance",
            "at least 0",
            self.recognition_tolerance,
        )


@dataclass(frozen=True)
class QPLEXConfig:
    """DuplexDuelingMixer's lambda; its other layers are of `mixer.hypernet_size`."""

    heads: int = 4  # [pymarl2]; 10 in [qplex]
    hidden_size: int = 64  # [pymarl2, qplex]

    def __post_init__(self) -> None:
        _positive("qplex", self, "heads", "hidden_size")


@dataclass(frozen=True)
class QTRANConfig:
    """The joint value of QTRAN-base, and what its constraints count."""

    hidden_size: int = 64  # [pymarl, pymarl2]
    opt_weight: float = 1.0  # of L_opt [pymarl, pymarl2]
    nopt_weight: float = 0.1  # of L_nopt [pymarl, pymarl2]

    def __post_init__(self) -> None:
        _positive("qtran", self, "hidden_size")
        for name in ("opt_weight", "nopt_weight"):
            require(getattr(self, name) >= 0, f"qtran.{name}", "at least 0", getattr(self, name))


@dataclass(frozen=True)
class MADDPGConfig:
    """What the policies of MADDPG are held to, and how their targets follow."""

    logit_weight: float = 0.001  # of the mean square of logits in the policy's loss [epymarl]
    target_rate: float = 0.01  # share of the online networks in each copy of targets; 1: all [epymarl]

    def __post_init__(self) -> None:
        require(self.logit_weight >= 0, "maddpg.logit_weight", "at least 0", self.logit_weight)
        _positive("maddpg", self, "target_rate")
        _fraction("maddpg", self, "target_rate")


@dataclass(frozen=True)
class LICAConfig:
    """The mixing critic is of `mixer.embed_size` and `mixer.hypernet_size`."""

    entropy_weight: float = 0.06  # of the entropy over its size; 0.03 for 3s5z_vs_3s6z [lica, pymarl2]

    def __post_init__(self) -> None:
        require(self.entropy_weight >= 0, "lica.entropy_weight", "at least 0", self.entropy_weight)


@dataclass(frozen=True)
class FOPConfig:
    """The temperature of FOP's policies, annealed linearly; its other sizes are `critic`, `mixer` and `qplex.heads`."""

    temperature_start: float = 0.5  # [fop]
    temperature_finish: float = 0.05  # [fop]
    anneal_steps: int = 90_000  # environment steps; the published schedule falls by 1 in 200,000 [fop]

    def __post_init__(self) -> None:
        _positive("fop", self, "temperature_start", "temperature_finish", "anneal_steps")

    def temperature(self, env_steps: int) -> float:
        """The temperature after `env_steps` environment steps."""
        share = min(1.0, env_steps / self.anneal_steps)
        return self.temperature_start + share * (self.temperature_finish - self.temperature_start)


@dataclass(frozen=True)
class WeightingConfig:
    """The two values of w(s, a); algorithms set their own."""

    recognized_weight: float = 5.0  # [paper]; 1 in the matrix game and in [code]
    other_weight: float = 0.0  # alpha [paper]
    warmup_steps: int = 0  # env steps with w = 1 before weighting starts: none [paper], 100k [code]

    def __post_init__(self) -> None:
        for name in ("recognized_weight", "other_weight", "warmup_steps"):
            require(getattr(self, name) >= 0, f"weighting.{name}", "at least 0", getattr(self, name))


@dataclass(frozen=True)
class TrainingConfig:
    """One update, and how often."""

    batch_size: int = 128  # episodes [paper]
    learning_rate: float = 1e-3  # Adam, all of its optimisers [pymarl2, code]
    recognizer_learning_rate: float = 1e-3  # [code]
    critic_learning_rate: float = 5e-4  # of critics that policies are judged by [pymarl, epymarl, lica, fop]
    critic_updates: int = 1  # their Adam steps a train step, on the same batch and targets
    gamma: float = 0.99  # [pymarl2]
    td_lambda: float = 0.6  # [paper]
    grad_clip: float = 10.0  # norm, each optimiser over its own parameters [pymarl2]
    target_update_interval: int = 200  # episodes [pymarl2]
    recognizer_updates: int = 10  # Adam steps a train step, on the same batch and targets [code]
    recognizer_first_updates: int = 20  # in the very first train step [code]
    recognizer_minibatches: int = 1  # above 1: instead, one epoch over so many parts of the batch, a step on each
    samples_per_insert: float = 16.0  # sampled / inserted episodes: 1 update of 128 for 8 new [paper, pymarl2]
    slack_episodes: int = 8  # that actors may play ahead of the learner: fewer stalls against parameter lag
    precision: str = "float32"  # of products: float32, bfloat16, or tf32 on a GPU; sums and values stay float32
    cuda_graphs: bool = True  # on a GPU an update of a shape is captured once, then launched as a whole
    max_updates: int = 0  # end after this many updates; 0: after `steps`
    publish_every_updates: int = 1  # lower parameter lag against copying; one copy costs about 0.01 ms

    def __post_init__(self) -> None:
        _positive(
            "training", self, "batch_size", "learning_rate", "recognizer_learning_rate", "grad_clip",
            "target_update_interval", "samples_per_insert", "publish_every_updates", "recognizer_updates",
            "recognizer_first_updates", "recognizer_minibatches", "critic_learning_rate", "critic_updates",
        )  # fmt: skip
        _fraction("training", self, "gamma", "td_lambda")
        wanted = "float32, tf32 (on a GPU) or bfloat16"
        require(self.precision in ("float32", "tf32", "bfloat16"), "training.precision", wanted, self.precision)
        for name in ("max_updates", "slack_episodes"):
            require(getattr(self, name) >= 0, f"training.{name}", "at least 0", getattr(self, name))


@dataclass(frozen=True)
class ExplorationConfig:
    """The share of uniformly random legal actions, annealed linearly in environment steps."""

    epsilon_start: float = 1.0  # [paper]
    epsilon_finish: float = 0.05  # [paper]
    anneal_steps: int = 100_000  # [paper]; 1.5 M in predator-prey with a punishment, 500k in [code]

    def __post_init__(self) -> None:
        _fraction("exploration", self, "epsilon_start", "epsilon_finish")
        _positive("exploration", self, "anneal_steps")

    def epsilon(self, env_steps: int) -> float:
        """Epsilon after `env_steps` environment steps."""
        share = min(1.0, env_steps / self.anneal_steps)
        return self.epsilon_start + share * (self.epsilon_finish - self.epsilon_start)


@dataclass(frozen=True)
class ReplayConfig:
    """The ring of stored episodes."""

    capacity: int = 5000  # episodes [paper]
    dtype: str = "float16"  # of observations and states; "float32" for exact storage
    device_copy: str = (
        "auto"  # on a GPU, of the episodes in its memory: auto (if half of what is free holds it), on, off
    )
    path: str = ""  # folder of the ring; empty: shared memory, or the run directory where that is too small
    keep_when_done: bool = False  # an interrupted run keeps its episodes for --resume; a finished one only if asked

    def __post_init__(self) -> None:
        _positive("replay", self, "capacity")
        require(self.dtype in ("float16", "float32"), "replay.dtype", "'float16' or 'float32'", self.dtype)
        require(self.device_copy in DEVICE_COPY, "replay.device_copy", "'auto', 'on' or 'off'", self.device_copy)


@dataclass(frozen=True)
class TestConfig:
    """Greedy episodes while training."""

    __test__ = False  # not a test case

    interval_steps: int = 10_000  # env steps between tests [pymarl2]
    episodes: int = 32  # SMAC 32, predator-prey 16 [pymarl2]

    def __post_init__(self) -> None:
        _positive("test", self, "interval_steps", "episodes")


@dataclass(frozen=True)
class ActorConfig:
    """The processes that play."""

    count: int = 0  # processes; 0: one for each core, at most 8
    envs_per_actor: int = 0  # environments in each; 0: enough for 8 in all [paper: 8 in parallel]
    credit: int = 4  # episodes an actor may have on the way, or two an environment if that is more (`window`)
    min_alive: int = 1  # the run goes on while this many actors live

    def __post_init__(self) -> None:
        require(self.count >= 0, "actors.count", "at least 0", self.count)
        require(self.envs_per_actor >= 0, "actors.envs_per_actor", "at least 0", self.envs_per_actor)
        _positive("actors", self, "credit", "min_alive")

    @property
    def window(self) -> int:
        """Episodes that an actor may have on the way, unacknowledged: more hides latency and adds lag."""
        return max(self.credit, 2 * self.envs_per_actor)


@dataclass(frozen=True)
class CheckpointConfig:
    """What a killed run starts from."""

    interval_s: float = 60.0  # seconds between checkpoints
    keep: int = 3

    def __post_init__(self) -> None:
        _positive("checkpoint", self, "interval_s", "keep")


@dataclass(frozen=True)
class Config:
    """One run. `env` holds the environment's options, which the environment itself names and checks."""

    env_id: str = "predator_prey"
    algorithm: str = "powqmix"
    preset: str = "paper"
    seed: int = 0
    steps: int = 10_000_000  # environment steps to train for
    device: str = "auto"  # "auto", "cpu", "cuda:0"
    lockstep: bool = False
    log_interval_s: float = 5.0  # between lines of metrics.jsonl
    threads: int = 0  # CPU threads of the update; 0: the cores that the actors leave
    env: Mapping[str, Any] = field(default_factory=dict)
    agent: AgentConfig = AgentConfig()
    mixer: MixerConfig = MixerConfig()
    critic: CriticConfig = CriticConfig()
    recognizer: RecognizerConfig = RecognizerConfig()
    qplex: QPLEXConfig = QPLEXConfig()
    qtran: QTRANConfig = QTRANConfig()
    maddpg: MADDPGConfig = MADDPGConfig()
    lica: LICAConfig = LICAConfig()
    fop: FOPConfig = FOPConfig()
    weighting: WeightingConfig = WeightingConfig()
    training: TrainingConfig = TrainingConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    replay: ReplayConfig = ReplayConfig()
    test: TestConfig = TestConfig()
    actors: ActorConfig = ActorConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self) -> None:
        require(self.steps > 0, "steps", "above 0", self.steps)
        require(0 <= self.seed < 2**31, "seed", "between 0 and 2147483647", self.seed)
        require(self.threads >= 0, "threads", "at least 0", self.threads)
        require(self.log_interval_s > 0, "log_interval_s", "above 0", self.log_interval_s)
        require(
            self.device in ("auto", "cpu", "cuda") or self.device.removeprefix("cuda:").isdecimal(),
            "device", "'auto', 'cpu' or 'cuda:<index>'", self.device,
        )  # fmt: skip
        require(
            self.replay.capacity >= self.training.batch_size,
            "replay.capacity", f"at least training.batch_size ({self.training.batch_size})", self.replay.capacity,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML."""
        values = dataclasses.asdict(self)
        values["env"] = dict(self.env)
        return values
