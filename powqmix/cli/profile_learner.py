"""What an update costs: a ring of real episodes, the whole loop undisturbed, then its stages one by one."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from powqmix import envs
from powqmix.config import Config
from powqmix.learner.batches import batches_for
from powqmix.learner.replay import ReplayRing
from powqmix.learner.replay_layout import required_bytes
from powqmix.learner.replay_place import choose_path
from powqmix.learner.threads import threads_for
from powqmix.learner.update import Update
from powqmix.types import episode_schema
from powqmix.wire.parameters import ParameterWriter

from .output import progress
from .peaks import device_peaks
from .timing import Stages
from .trace import Span
from .work import update_gflop
from .workload import fill, player

BATCHES = 4  # the ring holds so many batches of episodes: more than a processor's cache does
PLAYERS = 8  # environments that fill it
WARM_UP = 2  # updates before the clock starts; the first one trains the recognizer longer
# Stages within Update.__call__: attribute of the update ("" itself), method, name.
STAGES = (
    ("", "_transitions", "copy to the device"),
    ("objective", "evaluate", "forward"),
    ("", "_start_fit", "recognizer steps"),
    ("_fit", "finish", "recognizer steps"),
    ("_critic_fit", "run", "critic steps"),
    ("objective", "steady_losses", "losses"),
    ("objective", "weighted_losses", "losses"),
    ("_optimiser", "add", "backward"),
    ("_optimiser", "step", "optimiser"),
)


def measure_learner(config: Config, device_name: str, seconds: float) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """Updates a second, milliseconds of each stage in the median update, and the track of a trace.

    Dense stages have their rate in GFLOP/s (work.py says what is counted), the gathering in GB/s; `peaks` is what this
    device does of either at best.

    The stages are measured in a second pass in which each waits for the device, so that on a GPU they add up to more
    than an update takes. What is left of an update beside them is "rest of the update".
    """
    spec = envs.spec(config.env_id, **config.env)
    training = config.training
    threads = threads_for(config, spec, 0)
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    episodes = BATCHES * training.batch_size
    config = dataclasses.replace(config, replay=dataclasses.replace(config.replay, capacity=episodes))
    schema = episode_schema(spec, config.replay.dtype)
    update = Update(config, spec, device)
    with tempfile.TemporaryDirectory(prefix="powqmix-profile-") as folder:
        path = choose_path(config.replay.path, Path(folder), required_bytes(schema, episodes))
        ring = ReplayRing.create(path, schema, episodes)
        writer = ParameterWriter(Path(folder) / "parameters", update.policy.parameter_count)
        try:
            rollout, env = player(config, PLAYERS, schema, update.policy_vector())
            with progress(f"playing {episodes} episodes", episodes) as bar:
                fill(ring, rollout, episodes, config.exploration.epsilon(0), bar.advance)
            env.close()
            loop = _Loop(config, ring, update, writer, synchronise)
            peaks = device_peaks(device, update.precision.product_dtype)
            steps = float(ring.records(ring.stored())["steps"].mean())
            measured = loop.measure(seconds)
            work = update_gflop(update.objective, config, spec.n_agents, training.batch_size, steps)
            seconds_of = {name: ms / 1e3 for name, ms in measured["stages_ms"].items()}
            report = {
                "algorithm": config.algorithm,
                "device": device_name if device.type == "cpu" else torch.cuda.get_device_name(device),
                "threads": threads,
                "precision": training.precision,
                "batch_size": training.batch_size,
                "steps": round(steps, 1),
                "episodes_in_ring": len(ring),
                **measured,
                "peaks": peaks,
                "gflop_per_second": {name: gflop / seconds_of[name] for name, gflop in work.items()},
                "gather_gb_per_second": 1e-9 * loop.batch_bytes / seconds_of["sample and gather"],
                "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            }
            return report, {"learner": loop.stages.spans}
        finally:
            writer.close()
            ring.unlink()


class _Loop:
    """The learner's loop without its waiting: sample, gather, update, publish."""

    def __init__(
        self,
        config: Config,
        ring: ReplayRing,
        update: Update,
        writer: ParameterWriter,
        synchronise: Callable[[], None],
    ) -> None:
        self.config, self.ring, self.update, self.writer = config, ring, update, writer
        self.synchronise = synchronise
        rng = np.random.default_rng(config.seed)
        self.batches = batches_for(config, ring, rng, update.device, update.inputs)
        self.stages = Stages(synchronise)
        self.updates = 0
        self.batch_bytes = 0  # of the last batch, decoded

    def measure(self, seconds: float) -> dict[str, Any]:
        with progress(f"updating for {2 * seconds:g} s", 2 * seconds) as bar:
            for _ in range(WARM_UP):
                self._plain()
            self.synchronise()
            count, passed = self._for(seconds, self._plain, bar.advance)
            self.update.go_eager()  # a graph has no stages
            for owner, method, stage in STAGES:
                wrapped = getattr(self.update, owner) if owner else self.update
                if wrapped is not None:  # there may be no recognizer, and no critic with own steps
                    self.stages.wrap(wrapped, method, stage)
            self._for(seconds, self._staged, bar.advance)
        stages = self.stages.medians()
        whole = stages.pop("update")
        within = {stage: stages[stage] for _, _, stage in STAGES if stage in stages}
        inside = sum(within.values())
        ordered = {"sample and gather": stages["sample and gather"], **within}
        ordered |= {"rest of the update": max(0.0, whole - inside), "publish": stages["publish"]}
        return {
            "updates": count,
            "updates_per_second": count / passed,
            "ms_per_update": 1e3 * passed / count,
            "stages_ms": {name: 1e3 * value for name, value in ordered.items()},
        }

    def _for(self, seconds: float, body: Callable[[], None], done: Callable[[float], None]) -> tuple[int, float]:
        """Calls `body` at least 3 times; returns how often, and the seconds that it took with the device's work."""
        start = last = time.perf_counter()
        count = 0
        while count < 3 or last - start < seconds:
            body()
            count += 1
            now = time.perf_counter()
            done(now - last)
            last = now
        self.synchronise()
        return count, time.perf_counter() - start

    def _plain(self) -> None:
        batch = self.batches.next()
        self.update(batch, self.config.weighting.warmup_steps, meanwhile=self.batches.prefetch)
        self.updates += 1
        if self.updates % self.config.training.publish_every_updates == 0:
            self.writer.write(self.update.policy_vector(), self.updates)

    def _staged(self) -> None:
        self.stages.begin_round()
        with self.stages.time("sample and gather"):
            batch = self.batches.next()
        tensors = (batch.obs, batch.state, batch.avail_actions, batch.actions, batch.reward, batch.terminated)
        self.batch_bytes = sum(tensor.nbytes for tensor in tensors)
        with self.stages.time("update"):
            self.update(batch, self.config.weighting.warmup_steps)
        with self.stages.time("publish"):
            self.writer.write(self.update.policy_vector(), self.updates)
        self.updates += 1
