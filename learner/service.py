"""The learner's main loop: wait for episodes or sample and update, publish, test, report, save; then drain and sum up.

Two threads share this process. The receiver's thread takes episodes off the socket and writes them into the replay
ring; this one does everything else. They meet in the ring, the limiter and a handful of counters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from powqmix import envs
from powqmix.config import Config
from powqmix.types import PolicySpec, episode_schema
from powqmix.wire.parameters import ParameterWriter

from . import checkpoint
from .limiter import SamplesPerInsertLimiter
from .metrics import MetricsLog, Rate, bottleneck, truncate_after, write_json
from .receiver import Receiver
from .replay import BatchBuffers
from .storage import StoredEpisodes, open_ring
from .testing import TestSchedule
from .update import Update

log = logging.getLogger("powqmix.learner")

LOCKSTEP_ENVS = 8  # environments of the single lockstep actor [paper: 8 in parallel]
LOCKSTEP_LOG_UPDATES = 50  # a line of metrics every so many updates: no clock decides what is written
STATUS_INTERVAL_S = 0.5
FINAL_TEST_TIMEOUT_S = 180.0
DRAIN_TIMEOUT_S = 10.0
SKIPPED_UPDATES_LIMIT = 3  # non-finite updates in a row before the last good checkpoint is taken up


class TrainingDiverged(RuntimeError):
    """Losses or gradients stayed non-finite, also after going back to the last good checkpoint."""


class Learner:
    """One training run; `run` returns when it is finished, interrupted or broken."""

    def __init__(self, run_dir: Path, config: Config, endpoint: str, *, resume: bool) -> None:
        self.run_dir, self.config = run_dir, config
        self.spec = envs.spec(config.env_id, **config.env)
        agent = config.agent
        self.policy = PolicySpec(
            self.spec.n_agents, self.spec.n_actions, self.spec.obs_size,
            agent.hidden_size, agent.use_last_action, agent.use_agent_id,
        )  # fmt: skip
        self.schema = episode_schema(self.spec, config.replay.dtype)
        self.device = torch.device(config.device)
        torch.manual_seed(config.seed)
        self.rng = np.random.default_rng(np.random.SeedSequence(entropy=config.seed, spawn_key=(0,)))
        self.ring = open_ring(run_dir, config, self.schema, resume=resume)
        self.buffers = BatchBuffers(self.schema, config.training.batch_size, pin=self.device.type == "cuda")
        self.update = Update(config, self.spec, self.device)
        self.limiter = SamplesPerInsertLimiter(
            config.training.samples_per_insert,
            config.training.batch_size,
            min_episodes=config.training.batch_size,
            slack_episodes=max(LOCKSTEP_ENVS, config.actors.credit),
        )
        self.tests = TestSchedule(config.test.interval_steps, config.test.episodes)
        self.updates = 0
        self.wall_time_before = 0.0
        self.carried: dict[str, Any] = {}  # counters of this run's earlier processes
        self._started = time.monotonic()
        self._diverged_once = False
        self._stop = threading.Event()  # drain asked for
        self._arrived = threading.Event()  # something for the main thread to look at
        self._waiting_s = 0.0
        if resume:
            self._load_checkpoint()
        self.stored = StoredEpisodes(self.ring, self.limiter, self._arrived.set)
        self.parameters = ParameterWriter(run_dir / "parameters", self.policy.parameter_count)
        self.receiver = Receiver(
            endpoint,
            run_id=run_dir.name,
            env_id=config.env_id,
            schema=self.schema,
            sink=self.stored,
            may_insert=self.limiter.may_insert,
            parameter_version=lambda: self.updates,
            epsilon=lambda: config.exploration.epsilon(self.ring.total_env_steps),
            parameters_path=str(self.parameters.path),
            credit=config.actors.credit,
            lockstep=config.lockstep,
            on_test_result=self._on_test_result,
        )
        self.metrics = MetricsLog(run_dir / "metrics.jsonl")
        self._step_rate = Rate(self.ring.total_env_steps)
        self._update_rate = Rate(self.updates)
        self._status: dict[str, Any] = {}
        self._status_at = 0.0
        self._metrics_at = time.monotonic()
        self._checkpoint_at = time.monotonic()

    # ---- the loop -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Asks for a drain; safe from a signal handler."""
        self._stop.set()
        self._arrived.set()

    def run(self) -> str:
        """Trains until the limits of the configuration or `stop`; returns "done" or "interrupted"."""
        self.parameters.write(self.update.policy_vector(), self.updates)
        self.receiver.start()
        try:
            if self.config.lockstep:
                self._run_lockstep()
            else:
                self._run_asynchronous()
            if not self._stop.is_set():
                self._final_test()
            return "interrupted" if self._stop.is_set() else "done"
        finally:
            self._finish()

    def _run_asynchronous(self) -> None:
        while not self._finished():
            if self.limiter.can_sample():
                self._update_once()
            else:
                waited = time.monotonic()
                self._arrived.wait(STATUS_INTERVAL_S)
                self._arrived.clear()
                self._waiting_s += time.monotonic() - waited
            self._housekeeping()

    def _run_lockstep(self) -> None:
        """Eight episodes by exactly the newest parameters, one update, and so on: the reference for the other mode."""
        while not self._finished():
            if self.tests.due(self.ring.total_env_steps):
                self._ask_for_test()
                self._wait_until(lambda: not self.tests.outstanding)
            wanted = self.ring.total_inserted + LOCKSTEP_ENVS
            self.receiver.grant(LOCKSTEP_ENVS)
            self._wait_until(lambda: self.ring.total_inserted >= wanted)  # noqa: B023 - called before it changes
            if self._stop.is_set():
                return
            if len(self.ring) >= self.config.training.batch_size:
                self._update_once()
            if self.updates and self.updates % LOCKSTEP_LOG_UPDATES == 0 or self.tests.has_finished:
                self._write_metrics()
            self._housekeeping()

    def _finished(self) -> bool:
        limit = self.config.training.max_updates
        return (
            self._stop.is_set()
            or (limit > 0 and self.updates >= limit)
            or (limit == 0 and self.ring.total_env_steps >= self.config.steps)
        )

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float = float("inf")) -> bool:
        """Waits for the receiver's thread to make `condition` true; False after a stop or the timeout."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._stop.is_set() or time.monotonic() > deadline:
                return False
            self.receiver.check()
            self._arrived.wait(STATUS_INTERVAL_S)
            self._arrived.clear()
            self._write_status()
        return True

    def _update_once(self) -> None:
        batch = self.ring.gather(self.ring.sample(self.rng, self.config.training.batch_size), self.buffers)
        self.update(batch, self.ring.total_env_steps)
        self.updates += 1
        self.limiter.on_sample(self.config.training.batch_size)
        if self.updates % self.config.training.publish_every_updates == 0 or self.config.lockstep:
            self.parameters.write(self.update.policy_vector(), self.updates)
        self.receiver.wake()

    # ---- tests ----------------------------------------------------------------------------------------------------

    def _ask_for_test(self) -> None:
        test_id = self.tests.start(self.ring.total_env_steps, self.updates)
        self.parameters.write(self.update.policy_vector(), self.updates)
        self.receiver.request_test(test_id, self.tests.episodes, self.updates)

    def _on_test_result(self, test_id: int, returns: list[float], wons: list[bool], lengths: list[int]) -> None:
        self.tests.finish(test_id, returns, wons, lengths)
        self._arrived.set()

    def _final_test(self) -> None:
        """The policy that the run ends with, tested; given up if the evaluator does not answer."""
        self._wait_until(lambda: not self.tests.outstanding, FINAL_TEST_TIMEOUT_S)
        self.tests.abandon()
        self._ask_for_test()
        if not self._wait_until(lambda: not self.tests.outstanding, FINAL_TEST_TIMEOUT_S):
            log.warning("the last test did not come back; test_return_mean is that of an earlier one")
        self._write_metrics()

    # ---- between updates ------------------------------------------------------------------------------------------

    def _housekeeping(self) -> None:
        """Everything that has its own rhythm; cheap when nothing is due."""
        now = time.monotonic()
        self.receiver.check()
        if not self.config.lockstep:
            if self.tests.due(self.ring.total_env_steps):
                self._ask_for_test()
            if now - self._metrics_at >= self.config.log_interval_s or self.tests.has_finished:
                self._write_metrics()
        if now - self._checkpoint_at >= self.config.checkpoint.interval_s:
            self._save_checkpoint()
        if now - self._status_at >= STATUS_INTERVAL_S:
            self._write_status()

    def _check_divergence(self) -> None:
        """Three non-finite updates in a row: the last good checkpoint once, then an end that nobody overlooks."""
        if self.update.consecutive_skipped() < SKIPPED_UPDATES_LIMIT:
            return
        if self._diverged_once or not self._load_checkpoint():
            raise TrainingDiverged(
                f"{SKIPPED_UPDATES_LIMIT} updates in a row had non-finite losses or gradients at update {self.updates}; "
                "lower training.learning_rate or look at the environment's rewards"
            )
        self._diverged_once = True
        log.warning("non-finite updates: went back to the checkpoint at update %d", self.updates)

    # ---- checkpoints ----------------------------------------------------------------------------------------------

    def _save_checkpoint(self) -> None:
        self._checkpoint_at = time.monotonic()
        self._check_divergence()
        state = {
            "update": self.update.state_dict(),
            "policy_vector": torch.from_numpy(self.update.policy_vector().copy()),
            "rng": self.rng.bit_generator.state,
            "limiter": self.limiter.state_dict(),
            "tests": self.tests.state_dict(),
            "updates": self.updates,
            "counters": self.report.counters(),
            "env_steps": self.ring.total_env_steps,
            "wall_time_s": self.wall_time_s,
        }
        checkpoint.save(self.run_dir / "checkpoints", self.updates, state, keep=self.config.checkpoint.keep)

    def _load_checkpoint(self) -> bool:
        """Takes up the newest valid checkpoint; False (and a clear line) where there is none."""
        found = checkpoint.load_newest_valid(self.run_dir / "checkpoints")
        if found is None:
            log.warning("no checkpoint in %s: networks start anew, the stored episodes are kept", self.run_dir)
            return False
        _, state = found
        self.update.load_state_dict(state["update"])
        self.rng.bit_generator.state = state["rng"]
        self.limiter.load_state_dict(state["limiter"])
        self.tests.load_state_dict(state["tests"])
        self.updates = state["updates"]
        return True
