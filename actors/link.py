"""An actor's end of the wire: connects, sends what credit allows, and keeps episodes until they are settled."""

from __future__ import annotations

import math
import os
import secrets
import socket as hosts
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from powqmix.types import Array, Episode, EpisodeSchema
from powqmix.wire import messages as m
from powqmix.wire.frames import checksum, describe, joined
from powqmix.wire.parameters import ParameterError, ParameterReader
from powqmix.wire.sender import SendWindow
from powqmix.wire.sockets import connect_dealer

HELLO_EVERY_S = 1.0  # while there is no answer
RESULT_EVERY_S = 1.0
BYE_EVERY_S = 0.2
_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)  # the enumeration's own operators are slow
SILENT_HEARTBEATS = 5  # after which the learner is asked whether it still knows this actor


class Refused(RuntimeError):
    """The learner will not work with this actor: another attempt would be refused too."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Link:
    """One thread calls it. `pump` does all sending and receiving, and never blocks longer than asked."""

    def __init__(
        self,
        endpoint: str,
        *,
        run_id: str,
        env_id: str,
        schema: EpisodeSchema,
        parameter_count: int,
        actor: int,
        role: m.Role,
    ) -> None:
        self.schema = schema
        self.incarnation = secrets.randbits(63)
        self.window = SendWindow()
        self.epsilon = 1.0
        self.parameter_version = -1
        self.lockstep = False
        self.welcomed = False
        self.draining = False
        self.left = False  # the learner has seen our BYE, or is gone and has all that was sent
        self.test: m.Test | None = None  # asked for and not yet answered
        self.env_steps = 0  # the caller keeps these two, for heartbeats
        self.aborted = 0
        self.stalled_s = 0.0
        self._stalled_since: float | None = None
        self._parameter_count = parameter_count
        self._reader: ParameterReader | None = None
        self._fetched: tuple[Array, int] | None = None
        self._result: m.TestResult | None = None
        self._bye: m.Bye | None = None
        self._epoch = -1
        self._heartbeat_s = 1.0
        self._said_at: dict[str, float] = {}  # what is said again and again: when last
        self._heard_at = time.monotonic()
        self._hello = m.Hello(
            m.PROTOCOL, run_id, actor, role, self.incarnation, hosts.gethostname(), os.getpid(), env_id,
            describe(schema), schema.max_nbytes,
        )  # fmt: skip
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        identity = f"{role}-{actor}-".encode() + self.incarnation.to_bytes(8, "little")
        self._socket = connect_dealer(self._context, endpoint, identity, max(schema.max_nbytes, 4 * parameter_count))

    # -- Episodes --------------------------------------------------------------------------------------------------

    def send(self, episode: Episode) -> None:
        """Takes a finished episode; it goes out with the next `pump` that has credit for it.

        Raises ValueError if its frames are not those of the schema: too large a message would vanish on the way.
        """
        sizes = [frame.nbytes for frame in episode.frames]
        wanted = self.schema.sizes(episode.steps)
        if sizes != wanted or episode.steps > self.schema.episode_limit:
            raise ValueError(
                f"an episode of {episode.steps} steps (at most {self.schema.episode_limit}) must have frames of "
                f"{wanted} bytes, got {sizes}"
            )
        self.window.offer(episode)

    @property
    def blocked(self) -> bool:
        """Whether a finished episode waits for credit: the actor should stop stepping."""
        return self.window.blocked

    @property
    def credit(self) -> int:
        """Episodes that may still be sent beyond those already given."""
        return max(0, self.window.allowed_upto - self.window.offered)

    def pump(self, timeout_ms: int = 0) -> None:
        """Sends what may go, takes what has come, waiting for it up to `timeout_ms`. Raises Refused."""
        now = time.monotonic()
        self._note_stall(now)
        self._keep_in_touch(now)
        self._send_episodes(now)
        if self._socket.poll(timeout_ms) if timeout_ms else self._events() & _POLLIN:
            while True:
                try:
                    parts = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
                except zmq.Again:
                    break
                self._take([part.buffer for part in parts])
            self._send_episodes(time.monotonic())
        if self._bye is not None and self.window.acked_upto >= self.window.sent and not self._connected():
            self.left = True  # an answer that was not read yet goes with the connection

    def _send_episodes(self, now: float) -> None:
        # Without a learner at the other end nothing is taken from the window: it would count as sent.
        if not self.welcomed or not self.window.sendable(now) or not self._connected():
            return
        for seq, episode in self.window.take(now):
            header = m.EpisodeHeader(
                self.incarnation, seq, episode.parameter_version, episode.steps, episode.terminated,
                episode.truncated, episode.episode_return, episode.battle_won, episode.epsilon,
                checksum(episode.frames), self.window.sent, self.window.acked_upto,
            )  # fmt: skip
            self._put(header, joined(episode.frames))

    def _connected(self) -> bool:
        return bool(self._events() & _POLLOUT)

    def _events(self) -> int:
        return int(self._socket.getsockopt(zmq.EVENTS))

    def _put(self, message: m.Message, frames: Sequence[Any] = ()) -> bool:
        """Whether it went out. If not, there is no learner: what matters is said again."""
        try:
            self._socket.send_multipart([m.encode(message), *frames], zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        return True

    def _note_stall(self, now: float) -> None:
        if self._stalled_since is not None:
            self.stalled_s += now - self._stalled_since
        self._stalled_since = now if self.blocked else None

    # -- Parameters ------------------------------------------------------------------------------------------------

    def parameters(self) -> tuple[Array, int] | None:
        """The newest flat vector (f32) and its version, None if there is none yet."""
        if self._reader is not None:
            return self._reader.read()
        return self._fetched

    @property
    def newest_version(self) -> int:
        """The newest version that `parameters` would give."""
        if self._reader is not None:
            return self._reader.version
        return -1 if self._fetched is None else self._fetched[1]

    # -- Leaving and tests -----------------------------------------------------------------------------------------

    def answer_test(
        self, test: m.Test, version: int, returns: list[float], wons: list[bool], lengths: list[int]
    ) -> None:
        """Sends a test's result, again and again until it is acknowledged."""
        self._result = m.TestResult(self.incarnation, test.test_id, version, returns, wons, lengths)
        self._said_at.pop("result", None)
        self.test = None

    def leave(self) -> None:
        """Says BYE; `left` turns true when the learner has seen it, or is gone and has acknowledged every episode."""
        self._bye = m.Bye(self.incarnation, self.window.sent, self.window.acked_upto, self.aborted)

    def close(self) -> None:
        self._socket.close()
        self._context.term()
        if self._reader is not None:
            self._reader.close()

    # -- Messages --------------------------------------------------------------------------------------------------

    def _keep_in_touch(self, now: float) -> None:
        """Says HELLO until it is answered; then all that is due again, as long as it is not acknowledged."""
        if now - self._heard_at > SILENT_HEARTBEATS * self._heartbeat_s:
            self.welcomed = False  # the learner may be another one by now
        if not self.welcomed:
            self._repeat("hello", lambda: self._hello, HELLO_EVERY_S, now)
            return
        self._repeat("ping", self._ping, self._heartbeat_s, now)
        if self._result is not None:
            self._repeat("result", lambda: self._result, RESULT_EVERY_S, now)
        if self._bye is not None and not self.left:
            self._repeat("bye", lambda: self._bye, BYE_EVERY_S, now)

    def _ping(self) -> m.Ping:
        window = self.window
        return m.Ping(self.incarnation, self.env_steps, window.sent, window.acked_upto, self.stalled_s, self.aborted)

    def _repeat(self, name: str, message: Callable[[], m.Message | None], every_s: float, now: float) -> None:
        """Says the message if it is some and was not said within `every_s`."""
        if now - self._said_at.get(name, -math.inf) <= every_s:
            return
        due = message()
        if due is not None and self._put(due):
            self._said_at[name] = now

    def _take(self, frames: list[memoryview]) -> None:
        try:
            message = m.decode_from_learner(frames[0])
        except m.DECODE_ERRORS:
            return  # the learner's word cannot be read; what mattered is said again
        now = time.monotonic()
        self._heard_at = now
        if isinstance(message, m.Ack):
            if message.incarnation == self.incarnation:
                self.window.on_ack(message.upto, message.credit, now)
                self._learn(message.parameter_version, message.epsilon)
        elif isinstance(message, m.Welcome):
            self._welcome(message, now)
        elif isinstance(message, m.Refuse):
            raise Refused(message.code, message.text)
        elif isinstance(message, m.Unknown):
            if self.welcomed:  # one HELLO answers all of them
                self.welcomed = False
                self._said_at.pop("hello", None)
        elif isinstance(message, m.Drain):
            self.draining = True
            self.window.stop_crediting()
        elif isinstance(message, m.Test):
            if self._result is None or self._result.test_id != message.test_id:
                self.test = message
        elif isinstance(message, m.TestAck):
            self._result = None
        elif isinstance(message, m.Parameters):
            vector = frames[1].tobytes() if len(frames) > 1 else b""
            if checksum([vector]) == message.crc32 and len(vector) == 4 * self._parameter_count:
                self._fetched = np.frombuffer(vector, np.float32), message.version
        else:
            self.left = True

    def _welcome(self, welcome: m.Welcome, now: float) -> None:
        if welcome.epoch != self._epoch and self._reader is not None:
            self._reader.close()
            self._reader = None
        self._epoch = welcome.epoch
        self.welcomed = True
        self.lockstep = welcome.lockstep
        self._heartbeat_s = welcome.heartbeat_ms / 1000
        if self._reader is None and welcome.parameters_path:
            try:
                self._reader = ParameterReader(Path(welcome.parameters_path), self._parameter_count)
            except (OSError, ParameterError):
                self._reader = None  # another host: the vector is fetched
        self.window.on_welcome(welcome.last_seq_acked, welcome.credit, now)
        self._learn(welcome.parameter_version, welcome.epsilon)

    def _learn(self, version: int, epsilon: float) -> None:
        self.parameter_version, self.epsilon = version, epsilon
        if self._reader is None and self.newest_version < version:
            self._put(m.Fetch(self.incarnation))
