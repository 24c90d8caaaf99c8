"""What an actor process does between HELLO and BYE: play while there is credit, or play the tests it is asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from powqmix import envs
from powqmix.config import Config
from powqmix.envs import BatchedEnv
from powqmix.process import Log, StopFlag
from powqmix.types import Episode, derive_seed, episode_schema
from powqmix.wire.messages import Test

from .link import Link
from .player import Player
from .sleeping import SleepingEnv
from .stages import MAX_SPANS, StageTimes

# First element of the path that keys a random stream (types.derive_seed); the learner's own is 0.
ENV_STREAM, EXPLORATION_STREAM, TEST_STREAM = 1, 2, 3

PUMP_EVERY_S = 0.05  # how long to play between two looks at the socket, at most
HOLD_S = 0.005  # how long an episode may wait for others that are sent with it
EPISODE_RATE_SHARE = 0.1  # of the newest call in the running mean of episodes a second
IDLE_MS = 50  # how long to wait on the socket when there is nothing to play
LEAVE_TIMEOUT_S = 5.0  # for the learner to acknowledge what was sent, and the BYE
TEST_ENVS = 16  # environments of a test, at most


@dataclass(frozen=True)
class Identity:
    """Which actor of a run this is. `start` counts the processes that had its place before: streams differ by it."""

    actor: int
    role: str  # "train" or "test"
    start: int


@dataclass(frozen=True)
class Measurement:
    """What `powqmix profile` asks of an actor: steps that only sleep, a file that says where the time went."""

    sleep_s: float | None = None
    stages: Path | None = None


class ActorService:
    """One process. `run` returns when the run is over or `stop` was set; raises Refused or EnvironmentFailed."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        num_envs: int,
        endpoint: str,
        run_id: str,
        stop: StopFlag,
        log: Log,
        measurement: Measurement | None = None,
    ) -> None:
        self.config, self.identity, self.num_envs, self.stop, self.log = config, identity, num_envs, stop, log
        self._measurement = measurement or Measurement()
        self._stages = StageTimes() if self._measurement.stages else None
        spec = envs.spec(config.env_id, **config.env)
        policy = config.agent.policy(spec)
        self.policy = policy.greedy() if identity.role == "test" else policy
        self.schema = episode_schema(spec, config.replay.dtype)
        self.link = Link(
            endpoint,
            run_id=run_id,
            env_id=config.env_id,
            schema=self.schema,
            parameter_count=self.policy.parameter_count,
            actor=identity.actor,
            role="test" if identity.role == "test" else "train",
        )

    def run(self) -> None:
        try:
            if self.identity.role == "test":
                self._serve_tests()
            else:
                self._train()
            self._leave()
        finally:
            self.link.close()

    @property
    def _over(self) -> bool:
        return self.link.draining or bool(self.stop)

    # -- Training --------------------------------------------------------------------------------------------------

    def _train(self) -> None:
        who = self.identity
        player = self._player(
            lambda attempt: derive_seed(self.config.seed, ENV_STREAM, who.actor, who.start, attempt),
            derive_seed(self.config.seed, EXPLORATION_STREAM, who.actor, who.start),
            self.num_envs,
        )
        if self._stages is not None:
            player.start_clock(MAX_SPANS)
        try:
            while self._await_parameters(player, -1):
                if self.link.lockstep:
                    self._play_rounds(player)
                else:
                    self._play(player)
                if self._over:
                    break
        finally:
            if self._stages is not None and self._measurement.stages is not None:
                self._stages.write(self._measurement.stages, player.env_steps, *player.clock())
            player.close()
            self.link.aborted = player.aborted

    def _play(self, player: Player) -> None:
        """Steps and sends while there is credit; returns when it is over.

        Episodes that end within HOLD_S are sent together, as far as half of what may be on the way: a look at the
        socket costs as much for one as for several, and the other half is being settled meanwhile.
        """
        link = self.link
        steps_a_second = episodes_a_second = 0.0
        begins = True  # whether the next call begins an episode
        while not self._over:
            # A finished episode that may not be sent: the learner is behind, and stepping on would only age data.
            with self._stage("wait" if link.blocked else "send"):
                link.pump(IDLE_MS if link.blocked else 0)
            if link.blocked:
                continue
            until = max(1, int(PUMP_EVERY_S * steps_a_second))
            together = max(1, min(link.credit // 2, int(HOLD_S * episodes_a_second)))
            # To take parameters costs as much as some steps: not before an episode can begin with them.
            if (begins or together > 1) and link.newest_version > player.parameter_version:
                self._swap(player)
            started, before = time.monotonic(), player.env_steps
            with self._stage("play"):
                episodes = player.advance(link.epsilon, until, together)
            for episode in episodes:
                link.send(episode)
            seconds = max(time.monotonic() - started, 1e-6)
            steps_a_second = (player.env_steps - before) / player.num_envs / seconds
            episodes_a_second += EPISODE_RATE_SHARE * (len(episodes) / seconds - episodes_a_second)
            begins = bool(episodes) or link.aborted != player.aborted
            link.env_steps, link.aborted = player.env_steps, player.aborted

    def _stage(self, name: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._stages is None else self._stages.time(name)

    def _play_rounds(self, player: Player) -> None:
        """Lockstep: one episode in each environment for each grant, with exactly the parameters it came with."""
        link = self.link
        while not self._over:
            if link.credit < player.num_envs:
                link.pump(IDLE_MS)
                continue
            if not self._await_parameters(player, link.parameter_version):
                return
            for episode in player.play_round(link.epsilon):
                link.send(episode)
            link.env_steps, link.aborted = player.env_steps, player.aborted
            link.pump(0)

    # -- Tests -----------------------------------------------------------------------------------------------------

    def _serve_tests(self) -> None:
        while not self._over:
            self.link.pump(IDLE_MS)
            if self.link.test is not None:
                self._play_test(self.link.test)

    def _play_test(self, test: Test) -> None:
        """Greedy episodes with the parameters asked for, or newer ones; the same starts for the same test and seed.

        Each environment plays whole rounds, so that short episodes are not counted more often than long ones.
        """
        player = self._player(
            lambda attempt: derive_seed(self.config.seed, TEST_STREAM, test.test_id, attempt),
            derive_seed(self.config.seed, TEST_STREAM, test.test_id),
            min(test.episodes, TEST_ENVS),
        )
        try:
            if not self._await_parameters(player, test.parameter_version):
                return
            episodes: list[Episode] = []
            while len(episodes) < test.episodes:
                episodes += player.play_round(0.0)
                self.link.env_steps = player.env_steps
                self.link.pump(0)
                if self._over or self.link.test is None or self.link.test.test_id != test.test_id:
                    return
        finally:
            player.close()
        episodes = episodes[: test.episodes]
        self.link.answer_test(
            test,
            player.parameter_version,
            [e.episode_return for e in episodes],
            [e.battle_won for e in episodes],
            [e.steps for e in episodes],
        )

    # -- Both ------------------------------------------------------------------------------------------------------

    def _player(self, env_seed: Callable[[int], int], seed: int, num_envs: int) -> Player:
        def make(attempt: int) -> BatchedEnv | SleepingEnv:
            if self._measurement.sleep_s is not None:
                return SleepingEnv(num_envs, env_seed(attempt), self._measurement.sleep_s)
            return envs.make(self.config.env_id, num_envs, env_seed(attempt), **self.config.env)

        return Player(make, self.policy, self.schema, seed, self.log)

    def _swap(self, player: Player) -> None:
        """Takes the newest parameters for the episodes that begin from now on."""
        found = self.link.parameters()
        if found is not None:
            player.set_parameters(*found)

    def _await_parameters(self, player: Player, version: int) -> bool:
        """Waits until `player` has parameters of at least `version`; False if the run is over before."""
        while player.parameter_version < max(version, 0):
            if self._over:
                return False
            if self.link.newest_version >= max(version, 0):
                self._swap(player)
            else:
                self.link.pump(IDLE_MS)
        return True

    def _leave(self) -> None:
        """Sees that all that was sent is settled, and says BYE, within LEAVE_TIMEOUT_S."""
        link = self.link
        link.window.stop_crediting()
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        while link.window.acked_upto < link.window.sent and time.monotonic() < deadline:
            link.pump(IDLE_MS)
        link.leave()
        while not link.left and time.monotonic() < deadline:
            link.pump(IDLE_MS)
        if not link.left:
            self.log(f"the learner did not answer; {link.window.unsettled} episodes are not settled")
