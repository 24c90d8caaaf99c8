"""The learner's end of the wire: takes episodes off the socket, stores them, and answers."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import zmq

from powqmix.types import EpisodeSchema
from powqmix.wire import messages as m
from powqmix.wire.frames import ONE_FRAME_BYTES
from powqmix.wire.sessions import EpisodeSink, Reply, Sessions
from powqmix.wire.sockets import EndpointRefused, bind_router, lock_endpoint

HEARTBEAT_MS = 1000  # how often actors say that they live
SILENCE_S = 5.0  # an actor that says nothing for so long is counted as gone
BATCH = 256  # messages taken before anything is answered: one acknowledgement then stands for many
LINGER_MS = 500  # at the end, for answers that are on their way: an actor waits for that to its BYE
TURN_EVERY_S = 0.02


class Throttle(Protocol):
    def headroom(self) -> int: ...


class ReceiverFailed(RuntimeError):
    """The receiver's thread ended with an error; no episode comes in any more."""


class Receiver:
    """Runs a `Sessions` behind a ROUTER socket in a thread of its own. The methods here are for other threads."""

    def __init__(
        self,
        endpoint: str,
        *,
        run_id: str,
        env_id: str,
        schema: EpisodeSchema,
        sink: EpisodeSink,
        limiter: Throttle,
        parameter_version: Callable[[], int],
        epsilon: Callable[[], float],
        parameters: Callable[[], tuple[int, bytes]],
        parameters_path: str,
        credit: int,
        lockstep: bool,
        on_test_result: Callable[[int, list[float], list[bool], list[int]], None],
    ) -> None:
        """Raises EndpointInUse or EndpointRefused."""
        self._lock_descriptor = lock_endpoint(endpoint)
        self._sessions = Sessions(
            run_id=run_id,
            env_id=env_id,
            schema=schema,
            sink=sink,
            throttle=limiter,
            credit=credit,
            lockstep=lockstep,
            epoch=secrets.randbits(63),
            parameters_path=parameters_path,
            heartbeat_ms=HEARTBEAT_MS,
            parameter_version=parameter_version,
            epsilon=epsilon,
            parameters=parameters,
            on_test_result=lambda r: on_test_result(r.test_id, r.returns, r.wons, r.lengths),
        )
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = bind_router(self._context, endpoint, schema.max_nbytes)
        except EndpointRefused:
            self._context.term()
            if self._lock_descriptor is not None:
                os.close(self._lock_descriptor)
            raise
        self._commands: queue.SimpleQueue[Callable[[], Iterable[Reply]]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._stopping = False
        self._error: BaseException | None = None
        self._views = schema.max_nbytes > ONE_FRAME_BYTES  # small messages are copied: a view of one costs more
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._turns = threading.Lock()
        self._turned_at = 0.0
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    # -- For other threads -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises ReceiverFailed if the thread ended with an error."""
        if self._error is not None:
            raise ReceiverFailed(f"the receiver stopped: {self._error}") from self._error

    def wake(self) -> None:
        """Ends the waiting of a `turn`; safe in a signal handler."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes it already
            os.write(self._wake_write, b"\0")

    def grant(self, episodes: int) -> None:
        """Lockstep: a round of so many episodes."""
        self._do(lambda: self._sessions.grant(episodes))

    def request_test(self, test_id: int, episodes: int, parameter_version: int) -> None:
        self._do(lambda: self._sessions.request_test(m.Test(test_id, episodes, parameter_version)))

    def drain(self) -> None:
        """No more credit; actors finish and leave."""
        self._do(self._sessions.drain)

    def stop(self) -> None:
        """Ends the thread and closes the socket; what was answered still gets out. Idempotent."""
        if self._socket.closed:
            return
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close(linger=LINGER_MS)
        self._context.term()
        os.close(self._wake_read)
        os.close(self._wake_write)
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)

    def counters(self) -> dict[str, Any]:
        """Counts of this process (see Sessions.counters), reasons, lag, and how the actors fare."""
        sessions = self._sessions
        actors = list(sessions.actors.values())
        present = sessions.present() + sessions.present("test")
        return {
            **sessions.counters(),
            "rejected_by_reason": dict(sessions.rejected),
            "refused_messages": dict(sessions.refused),
            "stalled_s": sum(actor.stalled_s for actor in actors),
            "actors_connected": len(sessions.present()),
            "peers_connected": len(present),
            "lag": percentiles(dict(sessions.lags)),
        }

    def _do(self, command: Callable[[], Iterable[Reply]]) -> None:
        self._commands.put(command)
        self.wake()

    # -- Turns -----------------------------------------------------------------------------------------------------

    def turn(self, timeout_s: float = 0.0) -> None:
        """Takes what has come, waiting for it up to `timeout_s`, and answers. Any thread; one at a time.

        The learner takes turns between updates and while it waits. A thread of its own takes one every TURN_EVERY_S,
        so that long updates keep nobody waiting; while turns are taken anyway it stays out of the way, for two threads
        that want the interpreter hand it to each other at every call.
        """
        with self._turns:
            self._turned_at = time.monotonic()
            ready = dict(self._poller.poll(int(timeout_s * 1000)))
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
            while not self._commands.empty():
                self._send(self._commands.get()())
            if self._socket in ready:
                self._receive()
            self._sessions.expire(time.monotonic(), SILENCE_S)
            self._send(self._sessions.regrant())

    def _run(self) -> None:
        try:
            while not self._stopping:
                time.sleep(TURN_EVERY_S)
                if time.monotonic() - self._turned_at >= TURN_EVERY_S and not self._turns.locked():
                    self.turn()
        except BaseException as error:  # handed to the main thread, which raises it from check()
            self._error = error

    def _receive(self) -> None:
        """Takes what is there, up to BATCH messages, then acknowledges each peer's episodes at once."""
        peers = set()
        for _ in range(BATCH):
            try:
                parts = self._socket.recv_multipart(zmq.DONTWAIT, copy=not self._views)
            except zmq.Again:
                break
            peer, *frames = parts if not self._views else [part.buffer for part in parts]  # type: ignore[union-attr]
            peer = bytes(peer)  # type: ignore[arg-type]
            replies = self._sessions.handle(peer, frames, time.monotonic())
            if len(parts) > 2:
                peers.add(peer)
            self._send(replies)
        self._send(self._sessions.acknowledge(peers))

    def _send(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            try:
                self._socket.send_multipart([reply.peer, m.encode(reply.message), *reply.frames], zmq.DONTWAIT)
            except zmq.ZMQError as error:
                # The peer left (EHOSTUNREACH) or does not read (EAGAIN): it will ask or say hello again.
                if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                    raise


def percentiles(counts: dict[int, int]) -> dict[str, int]:
    """Median and 99th percentile of a histogram {value: how often}; {} if it is empty."""
    total = sum(counts.values())
    found: dict[str, int] = {}
    for name, share in (("parameter_lag_median", 0.5), ("parameter_lag_p99", 0.99)):
        seen = 0
        for value in sorted(counts):
            seen += counts[value]
            if seen >= share * total:
                found[name] = value
                break
    return found
