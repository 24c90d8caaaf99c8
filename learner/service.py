"""The learner's main loop: wait for episodes or sample and update, publish, test, report, save; then drain and sum up.

The receiver's turns between updates, and a thread that takes turns during long ones, put episodes into the replay ring.
They meet this loop in the ring, the limiter and the test schedule.
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
from powqmix.config import LOCKSTEP_ENVS, Config
from powqmix.files import write_json
from powqmix.types import episode_schema
from powqmix.wire.parameters import ParameterWriter

from . import checkpoint
from .batches import batches_for
from .limiter import SamplesPerInsertLimiter
from .metrics import truncate_after
from .receiver import Receiver
from .report import Report
from .storage import StoredEpisodes, leave_ring, open_ring
from .testing import TestSchedule
from .threads import threads_for
from .update import Update

log = logging.getLogger("powqmix.learner")

LOCKSTEP_LOG_UPDATES = 50  # a line of metrics every so many updates: no clock decides what is written
STATUS_INTERVAL_S = 0.5
FINAL_TEST_TIMEOUT_S = 180.0
DRAIN_TIMEOUT_S = 8.0
SKIPPED_UPDATES_LIMIT = 3  # non-finite updates in a row before the last good checkpoint is taken up


class TrainingDiverged(RuntimeError):
    """Losses or gradients stayed non-finite, also after going back to the last good checkpoint."""


class Learner:
    """One training run; `run` returns when it is finished or interrupted."""

    def __init__(self, run_dir: Path, config: Config, endpoint: str, *, resume: bool) -> None:
        self.run_dir, self.config = run_dir, config
        self.spec = envs.spec(config.env_id, **config.env)
        self.policy = config.agent.policy(self.spec)
        schema = episode_schema(self.spec, config.replay.dtype)
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(automatic if config.device == "auto" else config.device)
        self._stop = threading.Event()  # a drain was asked for
        self.phase = "starting"
        self.updates = 0
        batch_size = config.training.batch_size
        self.rng = np.random.default_rng(np.random.SeedSequence(entropy=config.seed, spawn_key=(0,)))
        self.ring = open_ring(run_dir, config, schema, resume=resume)
        self.update = Update(config, self.spec, device)
        self.batches = batches_for(config, self.ring, self.rng, device, self.update.inputs)
        self.limiter = SamplesPerInsertLimiter(
            config.training.samples_per_insert,
            batch_size,
            min_episodes=batch_size,
            slack_episodes=config.training.slack_episodes,
        )
        self.tests = TestSchedule(config.test.interval_steps, config.test.episodes)
        carried = self._load_checkpoint() if resume else {}
        self._published = (self.updates, self.update.policy_vector())
        self.stored = StoredEpisodes(self.ring, self.limiter)
        self.parameters = ParameterWriter(run_dir / "parameters", self.policy.parameter_count)
        self.receiver = Receiver(
            endpoint,
            run_id=run_dir.resolve().name,
            env_id=config.env_id,
            schema=schema,
            sink=self.stored,
            limiter=self.limiter,
            parameter_version=lambda: self._published[0],
            epsilon=lambda: config.exploration.epsilon(self.ring.total_env_steps),
            parameters=self._newest_parameters,
            parameters_path=str(self.parameters.path),
            credit=config.actors.window,
            lockstep=config.lockstep,
            on_test_result=self._on_test_result,
        )
        if resume:
            truncate_after(run_dir / "metrics.jsonl", carried.get("env_steps", 0))
        self.report = Report(
            run_dir,
            env_steps=self.ring.total_env_steps,
            updates=self.updates,
            stored=self.ring.total_inserted,
            carried=carried,
        )
        self._diverged_once = False
        self._status_at = self._metrics_at = self._checkpoint_at = time.monotonic()

    # -- The loop --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Asks for a drain; safe in a signal handler."""
        self._stop.set()
        self.receiver.wake()

    def run(self) -> str:
        """Trains until the limits of the configuration or `stop`; returns "done" or "interrupted"."""
        self._publish()
        self.receiver.start()
        completed = False
        try:
            if self.config.lockstep:
                self._run_lockstep()
            else:
                self._run_asynchronous()
            self._final_test()
            completed = not self._stop.is_set()
        finally:
            self._finish(completed)
        return "done" if completed else "interrupted"

    def _run_asynchronous(self) -> None:
        while not self._finished():
            if self.tests.due(self.ring.total_env_steps):  # the first before any episode comes in
                self._ask_for_test()
            if self.limiter.can_sample():
                self.phase = "training"
                self._update_once()
            else:
                if self.updates == 0:
                    self.phase = "filling"
                started = time.monotonic()
                self.receiver.turn(STATUS_INTERVAL_S)
                self.report.waited(time.monotonic() - started)
            if time.monotonic() - self._metrics_at >= self.config.log_interval_s or self.tests.has_finished:
                self._write_metrics()
            self._housekeeping()

    def _run_lockstep(self) -> None:
        """Eight episodes by exactly the newest parameters, then the updates that they earn, and so on.

        The reference for the other mode. With the published samples_per_insert and batch_size they earn one.
        """
        while not self._finished():
            if self.tests.due(self.ring.total_env_steps):
                self._ask_for_test()
                self._wait_until(lambda: not self.tests.outstanding)
                self._write_metrics()
            wanted = self.ring.total_inserted + LOCKSTEP_ENVS
            self.receiver.grant(LOCKSTEP_ENVS)
            if not self._wait_until(lambda wanted=wanted: self.ring.total_inserted >= wanted):  # type: ignore[misc]
                return
            while self.limiter.can_sample() and not self._finished():
                self.phase = "training"
                self._update_once()
                if self.updates % LOCKSTEP_LOG_UPDATES == 0:
                    self._write_metrics()
            self._housekeeping()

    def _finished(self) -> bool:
        limit = self.config.training.max_updates
        if limit > 0:
            return self._stop.is_set() or self.updates >= limit
        return self._stop.is_set() or self.ring.total_env_steps >= self.config.steps

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float = float("inf")) -> bool:
        """Waits for messages that make `condition` true; False after a stop or the timeout."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._stop.is_set() or time.monotonic() > deadline:
                return False
            self.receiver.turn(STATUS_INTERVAL_S)
            self._housekeeping()
        return True

    def _update_once(self) -> None:
        batch = self.batches.next()
        self.limiter.on_sample(self.config.training.batch_size)  # first, so that its turn lets the next episodes in
        self.update(batch, self.ring.total_env_steps, meanwhile=self._meanwhile)
        self.updates += 1
        if self.config.lockstep or self.updates % self.config.training.publish_every_updates == 0:
            self._publish()

    def _meanwhile(self) -> None:
        """While the update is under way: a turn at the receiver, and the next batch."""
        self.receiver.turn()
        if not self.config.lockstep:  # there the next batch is drawn from what the next round adds
            self.batches.prefetch()

    def _publish(self) -> None:
        vector = self.update.policy_vector()
        self.parameters.write(vector, self.updates)
        self._published = (self.updates, vector)

    def _newest_parameters(self) -> tuple[int, bytes]:
        """For actors that do not share memory with the learner; called by the receiver's thread."""
        version, vector = self._published
        return version, vector.tobytes()

    # -- Tests -----------------------------------------------------------------------------------------------------

    def _ask_for_test(self) -> None:
        self._publish()
        test_id = self.tests.start(self.ring.total_env_steps, self.updates)
        self.receiver.request_test(test_id, self.tests.episodes, self.updates)

    def _on_test_result(self, test_id: int, returns: list[float], wons: list[bool], lengths: list[int]) -> None:
        self.tests.finish(test_id, returns, wons, lengths)

    def _final_test(self) -> None:
        """Tests the policy that the run ends with; given up, loudly, if the evaluator does not answer."""
        self.phase = "testing"
        self._wait_until(lambda: not self.tests.outstanding, FINAL_TEST_TIMEOUT_S)
        if not self._stop.is_set():
            self.tests.abandon()
            self._ask_for_test()
            if not self._wait_until(lambda: not self.tests.outstanding, FINAL_TEST_TIMEOUT_S):
                log.warning("the last test did not come back; test_return_mean is that of an earlier one")
        self._write_metrics()

    # -- Reports and checkpoints -----------------------------------------------------------------------------------

    def _housekeeping(self) -> None:
        """What has its own rhythm; cheap when nothing is due."""
        self.receiver.check()
        now = time.monotonic()
        if now - self._checkpoint_at >= self.config.checkpoint.interval_s:
            self._check_divergence()
            self._save_checkpoint()
        if now - self._status_at >= STATUS_INTERVAL_S:
            self._write_status()

    def _progress(self) -> dict[str, Any]:
        env_steps = self.ring.total_env_steps
        return {
            "env_steps": env_steps,
            "episodes": self.ring.total_inserted,
            "updates": self.updates,
            "epsilon": self.config.exploration.epsilon(env_steps),
        }

    def _write_metrics(self) -> None:
        self._metrics_at = time.monotonic()
        received = self.receiver.counters()
        self.report.measure_waiting(received["stalled_s"], received["actors_connected"])
        if not self.config.lockstep:
            self._share_cores(received["actors_connected"])
        values = {**self.stored.take_means(), **self.update.metrics(), **received["lag"]}
        if not self.config.lockstep:  # these read clocks
            values |= {
                "learner_waiting": round(self.report.waiting, 3),
                "actors_stalled": round(self.report.stalled, 3),
                "bottleneck": self.report.bottleneck,
            }
        self.report.line(self._progress(), values, self.tests.take_finished())
        self._check_divergence()

    def _share_cores(self, actors: int) -> None:
        """Takes the cores of actors that spend their time waiting for this learner, or gives them back."""
        threads = threads_for(self.config, self.spec, actors * (1.0 - self.report.stalled))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    def _write_status(self) -> None:
        self._status_at = time.monotonic()
        last = self.tests.last
        received = self.receiver.counters()
        self.report.status(
            {
                "phase": self.phase,
                **self._progress(),
                "steps_target": self.config.steps,
                "max_updates": self.config.training.max_updates,
                "env_steps_per_second": self.report.last.get("env_steps_per_second", 0.0),
                "updates_per_second": self.report.last.get("updates_per_second", 0.0),
                "return_mean": self.report.last.get("return_mean"),
                "loss_tot": self.report.last.get("loss_tot"),
                "test_return_mean": None if last is None else last.test_return_mean,
                "test_win_rate": None if last is None else last.test_win_rate,
                "test_env_steps": None if last is None else last.env_steps,
                "parameter_lag_median": received["lag"].get("parameter_lag_median"),
                "bottleneck": self.report.bottleneck,
                "actors_connected": received["actors_connected"],
                "wall_time_s": round(self.report.wall_time_s, 1),
                **self.report.counters(received),
            }
        )

    def _summary(self) -> dict[str, Any]:
        received = self.receiver.counters()
        last = self.tests.last
        progress = self._progress()
        return {
            "env": self.config.env_id,
            "env_version": self.spec.version,
            "algorithm": self.config.algorithm,
            "preset": self.config.preset,
            "seed": self.config.seed,
            **progress,
            "wall_time_s": round(self.report.wall_time_s, 3),
            **self.report.rates(progress["env_steps"], self.updates),
            "test_return_mean": None if last is None else last.test_return_mean,
            "test_win_rate": None if last is None else last.test_win_rate,
            **self.report.counters(received),
            "rejected_by_reason": received["rejected_by_reason"],
            "parameter_lag_median": received["lag"].get("parameter_lag_median"),
            "parameter_lag_p99": received["lag"].get("parameter_lag_p99"),
            "bottleneck": self.report.run_bottleneck,
            **self.update.joint_tables(),
        }

    def _save_checkpoint(self) -> None:
        self._checkpoint_at = time.monotonic()
        state = {
            "update": self.update.state_dict(),
            "policy_vector": torch.from_numpy(self.update.policy_vector().copy()),
            "rng": checkpoint.plain(self.rng.bit_generator.state),
            "limiter": self.limiter.state_dict(),
            "tests": self.tests.state_dict(),
            "updates": self.updates,
            "carried": {
                **self.report.carried(self.receiver.counters()),
                "env_steps": self.ring.total_env_steps,
                "episodes": self.ring.total_inserted,
            },
        }
        checkpoint.save(self.run_dir / "checkpoints", self.updates, state, keep=self.config.checkpoint.keep)

    def _load_checkpoint(self) -> dict[str, Any]:
        """Takes up the newest valid checkpoint and returns its carried counters; {} where there is none."""
        found = checkpoint.load_newest_valid(self.run_dir / "checkpoints")
        if found is None:
            log.warning("no checkpoint in %s: the networks start anew, stored episodes are kept", self.run_dir)
            inserted, stored = self.ring.total_inserted, len(self.ring)
            self.limiter.load_state_dict(self.limiter.state_dict(), inserted=inserted, stored=stored)
            return {}
        _, state = found
        carried: dict[str, Any] = state["carried"]
        # A ring that was lost begins with the counts of the checkpoint, so that schedules do not start anew.
        self.ring.count_stored(total_inserted=int(carried["episodes"]), total_env_steps=int(carried["env_steps"]))
        self.update.load_state_dict(state["update"])
        self.rng.bit_generator.state = checkpoint.unplain(state["rng"])
        self.limiter.load_state_dict(state["limiter"], inserted=self.ring.total_inserted, stored=len(self.ring))
        self.tests.load_state_dict(state["tests"])
        self.updates = int(state["updates"])
        return carried

    def _check_divergence(self) -> None:
        """Three non-finite updates in a row: the last good checkpoint once, then an end that nobody overlooks."""
        if self.update.consecutive_skipped() < SKIPPED_UPDATES_LIMIT:
            return
        if self._diverged_once or not self._load_checkpoint():
            raise TrainingDiverged(
                f"{SKIPPED_UPDATES_LIMIT} updates in a row had non-finite losses or gradients (update {self.updates}); "
                "lower training.learning_rate, or look at the environment's rewards"
            )
        self._diverged_once = True
        log.warning("non-finite updates: went back to the checkpoint at update %d", self.updates)

    # -- The end ---------------------------------------------------------------------------------------------------

    def _finish(self, completed: bool) -> None:
        """Drains the actors, saves, sums up, and gives back sockets and memory."""
        self.phase = "draining"
        self._write_status()
        self.receiver.drain()
        self._drained(DRAIN_TIMEOUT_S)
        self.receiver.stop()
        if self.update.consecutive_skipped() == 0:  # else the last good one stays the newest
            self._save_checkpoint()
        write_json(self.run_dir / "learner_summary.json", self._summary())
        self.phase = "done" if completed else "interrupted"
        self._write_status()
        self.report.close()
        self.parameters.close()
        leave_ring(self.ring, self.run_dir, keep=not completed or self.config.replay.keep_when_done)

    def _drained(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.receiver.counters()["actors_connected"] and time.monotonic() < deadline:
            self.receiver.turn(0.05)
