"""Update: one step of learning from a batch of episodes. It knows no algorithm, only an objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from powqmix.config import Config
from powqmix.modules.recognizer_gradient import Regression
from powqmix.objectives import Objective, Transitions, build_objective
from powqmix.types import EnvSpec, EpisodeBatch

from .batch_memory import BatchMemory
from .captured import CapturedCalls, CudaGraphs
from .critic_fit import CriticFit
from .joint_tables import joint_tables
from .length_groups import length_groups
from .optimiser import FlatAdam, add_losses
from .precision import Precision
from .recognizer_fit import RecognizerFit
from .transitions import BatchReader, filled_bound
from .update_metrics import MeanMetrics


class Update:
    """Owns the objective's networks, their optimisers and targets. One thread at a time.

    Networks are initialised from `config.seed` alone, the same on every device. Nothing in `__call__` waits for the
    device; `metrics`, `policy_vector`, `consecutive_skipped` and `state_dict` do.

    With `static_shapes` (None: on a GPU, unless training.cuda_graphs is false) batches are learned from in the memory
    of `inputs`, and no number of a batch enters a shape but its length and a bound on its filled steps. On a GPU such
    an update is captured in a CUDA graph, one for each length, bound and state of the warm-up.
    """

    def __init__(
        self, config: Config, spec: EnvSpec, device: torch.device, *, static_shapes: bool | None = None
    ) -> None:
        self.config, self.device = config, device
        self.precision = Precision(config.training.precision, device)
        training = config.training
        self.policy = config.agent.policy(spec)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.objective: Objective = build_objective(config, spec, self.policy).to(device)
        parameters = [p for module in self.objective.trained() for p in module.parameters()]
        self._optimiser = FlatAdam(parameters, learning_rate=training.learning_rate, max_norm=training.grad_clip)
        critics = self.objective.critics()
        self._critic_fit = CriticFit(self.objective, critics, training, self.precision) if critics else None
        recognizer = self.objective.recognizer
        self._fit = None if recognizer is None else RecognizerFit(recognizer, training, self.precision.bfloat16)
        self._zero = torch.zeros((), device=device)
        self._metrics = MeanMetrics(device)
        self._updates = 0
        self._first_step: dict[str, Tensor] | None = None  # of some episode, for the tables of a matrix game
        self._read = BatchReader(training.gamma, self.precision.product_dtype)
        graphs = device.type == "cuda" and training.cuda_graphs and self.objective.capturable
        static = graphs if static_shapes is None else static_shapes
        self.inputs = BatchMemory(spec, training.batch_size, device) if static else None
        self.calls = CapturedCalls(CudaGraphs(device) if graphs and static else None)

    def __call__(self, batch: EpisodeBatch, env_steps: int, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Learns from `batch` (any device) once; `env_steps` taken so far decide whether the warm-up is over.

        `meanwhile` is called once, while the recognizer's thread or the device is at work; it leaves `batch` alone.
        """
        if self._first_step is None:
            self._first_step = {
                name: getattr(batch, name)[0, 0].to(self.device, copy=True)
                for name in ("obs", "state", "avail_actions")
            }
        training = self.config.training
        weighted = env_steps >= self.config.weighting.warmup_steps
        # More steps of the recognizer in the very first update [code].
        fit_steps = training.recognizer_updates if self._updates else training.recognizer_first_updates
        if self.inputs is not None and batch.multiplicity is None and self.inputs.holds(batch):
            scalars, skipped = self._step_in_place(self.inputs, batch, env_steps, weighted, fit_steps)
            meanwhile()
        else:
            scalars, skipped = self._step(self._parts(batch, env_steps), weighted, fit_steps, meanwhile)
        self._metrics.add(scalars, skipped)
        self._updates += 1
        if self._targets_are_due():
            self.sync_targets()

    def go_eager(self) -> None:
        """From now on without static shapes and graphs: for measuring the stages of an update."""
        self.inputs = None

    def _step_in_place(
        self, inputs: BatchMemory, batch: EpisodeBatch, env_steps: int, weighted: bool, fit_steps: int
    ) -> tuple[dict[str, Tensor], Tensor]:
        """`_step` on `batch` in the memory of `inputs`, as a graph where there is one."""
        tensors = inputs.take(batch)
        bound = filled_bound(batch.filled_count, batch.filled.numel())
        key = (*batch.filled.shape, bound, weighted, fit_steps)
        return self.calls.run(key, lambda: self._step([self._read(tensors, bound, env_steps)], weighted, fit_steps))

    def _step(
        self,
        parts: list[Transitions],
        weighted: bool,
        fit_steps: int,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """A step of all optimisers along the gradient of a batch in parts. Its scalars, and 1 if it was skipped, []."""
        with self.precision.forward():
            evaluations = [self.objective.evaluate(part) for part in parts]
        self._start_fit(parts, evaluations, fit_steps)
        self._optimiser.begin()
        scalars: dict[str, Tensor] = {}
        for part, evaluation in zip(parts, evaluations):
            with self.precision.forward():
                losses = self.objective.steady_losses(part, evaluation)
            add_losses(self._optimiser, losses, scalars)
        meanwhile()
        fit_norm, fit_skipped = self._fit.finish() if self._fit is not None else (self._zero, self._zero)
        critic_skipped = self._zero
        if self._critic_fit is not None:
            critic_scalars, critic_skipped = self._critic_fit.run(parts, evaluations)
            scalars |= critic_scalars
        for part, evaluation in zip(parts, evaluations):
            with self.precision.forward():
                losses = self.objective.weighted_losses(part, evaluation, weighted=weighted)
            add_losses(self._optimiser, losses, scalars)
        self._optimiser.complete()
        norm, skipped = self._optimiser.step()
        scalars |= {"grad_norm": norm, "recognizer_grad_norm": fit_norm}
        return scalars, torch.maximum(torch.maximum(skipped, fit_skipped), critic_skipped)

    def _parts(self, batch: EpisodeBatch, env_steps: int) -> list[Transitions]:
        """The batch, on a CPU in groups of similar lengths; a GPU would rather have few and large kernels."""
        transitions = self._transitions(batch, env_steps)
        in_order = batch.lengths is not None and batch.multiplicity is None
        if not (in_order and self.objective.splits and self.device.type == "cpu"):
            return [transitions]
        assert batch.lengths is not None
        groups = length_groups(batch.lengths, batch.filled.shape[1], batch.actions.shape[2])
        if len(groups) == 1:
            return [transitions]
        return [transitions.part(*group, sum(batch.lengths[group.first : group.end])) for group in groups]

    def _transitions(self, batch: EpisodeBatch, env_steps: int) -> Transitions:
        names = ("obs", "state", "avail_actions", "actions", "reward", "terminated", "filled")
        tensors = {name: getattr(batch, name).to(self.device, non_blocking=True) for name in names}
        share = tensors["filled"].to(torch.float32)
        if batch.multiplicity is None:
            share.mul_(1.0 / batch.filled_count)
        else:
            share.mul_(batch.multiplicity.to(self.device).unsqueeze(1))
            share.div_(share.sum())
        return self._read(tensors, batch.filled_count, env_steps, share=share)

    def _start_fit(self, parts: list[Transitions], evaluations: list[Any], steps: int) -> None:
        """The recognizer's own steps on this batch and its targets."""
        if self._fit is not None:
            rows = [self.objective.regression(part, evaluation) for part, evaluation in zip(parts, evaluations)]
            self._fit.start(Regression.join(rows), steps)

    def _targets_are_due(self) -> bool:
        """Whether this update passed another `target_update_interval` episodes [pymarl2].

        Episodes are counted by the update's own clock: batch_size / samples_per_insert of them come in for each.
        """
        training = self.config.training
        interval = training.target_update_interval * training.samples_per_insert / training.batch_size  # in updates
        return int(self._updates / interval) != int((self._updates - 1) / interval)

    def sync_targets(self) -> None:
        """Copies the online networks into the target networks."""
        self.objective.sync_targets()

    def policy_vector(self) -> npt.NDArray[np.float32]:
        """The agent's parameters, in the order of `PolicySpec.parameter_shapes`: a copy, f32 [parameter_count]."""
        vector: npt.NDArray[np.float32] = self._optimiser.values[: self.policy.parameter_count].cpu().numpy().copy()
        return vector

    def metrics(self) -> dict[str, float]:
        """Means over the updates since the last call, and `updates_skipped` in all."""
        return self._metrics.take()

    def consecutive_skipped(self) -> int:
        """How many of the last updates in a row were skipped because a gradient was not finite."""
        return self._metrics.skipped_in_a_row

    def joint_tables(self) -> dict[str, Any]:
        """In a matrix game `greedy_joint_action`, `q_tot`, `q_r` over all joint actions at the first step; else {}."""
        if self._first_step is None or not self.config.env_id.startswith("matrix/"):
            return {}
        return joint_tables(self.objective, **self._first_step)

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on: networks, targets, optimisers, counters."""
        return {
            "objective": {name: value.clone() for name, value in self.objective.state_dict().items()},
            "optimiser": self._optimiser.state_dict(),
            "critic_optimiser": self._critic_fit.state_dict() if self._critic_fit else {},
            "recognizer_optimiser": self._fit.state_dict() if self._fit else {},
            "metrics": self._metrics.state_dict(),
            "updates": self._updates,
            "first_step": self._first_step or {},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave: the next updates are those that would have followed."""
        self.objective.load_state_dict(state["objective"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._critic_fit is not None:
            self._critic_fit.load_state_dict(state["critic_optimiser"])
        if self._fit is not None:
            self._fit.load_state_dict(state["recognizer_optimiser"])
        self._metrics.load_state_dict(state["metrics"])
        self._updates = int(state["updates"])
        self._first_step = {name: value.to(self.device) for name, value in state["first_step"].items()} or None
