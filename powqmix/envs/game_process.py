"""GameProcess: a game in a process group of its own, watched from outside.

A game may crash, hang for ever or eat memory. Here it can do so without taking the actor along: every question has a
deadline, and an answer that does not come, or a process that grows too large, costs the whole group its life. The group
also dies when the process that started it does, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import psutil


class GameFailed(RuntimeError):
    """The game crashed, hung or lied; its processes are gone. The message says which."""


class GameProcess:
    """Asks `python -m module` questions and gets answers: mappings of plain values, as MessagePack.

    One thread calls it.

    name: for messages. The process is started by the constructor and owned until `close`.
    """

    def __init__(self, name: str, module: str) -> None:
        self._name = name
        ours, theirs = socket.socketpair()
        lifeline, held = os.pipe()  # `held` closes with this process, also when that is killed
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), str(lifeline)],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            os.close(held)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self._held = held
        self._connection = Connection(ours.detach())
        self._closed = False
        self._asked_at = 0.0

    @property
    def pid(self) -> int:
        """Of the process; it is that of its group too."""
        return self._process.pid

    def ask(self, question: str, **values: Any) -> None:
        """Sends a question; `answer` gets what comes back."""
        self._asked_at = time.monotonic()
        try:
            self._connection.send_bytes(msgspec.msgpack.encode({"question": question, **values}))
        except OSError:
            raise self._failure(f"it died before {question}") from None

    def answer(self, question: str, timeout_s: float) -> Mapping[str, Any]:
        """The answer to the question just asked, within `timeout_s` of asking.

        Raises GameFailed if none comes in time, or one that is an error.
        """
        try:
            if not self._connection.poll(max(0.0, self._asked_at + timeout_s - time.monotonic())):
                raise self._failure(f"it hung: no answer to {question} in {timeout_s:g} s")
            answer = msgspec.msgpack.decode(self._connection.recv_bytes(), type=dict[str, Any])
        except (EOFError, OSError):
            raise self._failure(f"it died in {question}") from None
        except msgspec.DecodeError as error:
            raise self._failure(f"its answer to {question} cannot be read: {error}") from None
        if "error" in answer:
            raise self._failure(f"{question} failed: {answer['error']}")
        return answer

    def memory_bytes(self) -> int:
        """Resident memory of the process and its descendants."""
        total = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def close(self) -> None:
        """Ends the whole group at once. Nothing a game could save is lost: episodes are kept by who asks."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._connection.close()
        os.close(self._held)

    def _failure(self, what: str) -> GameFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):  # who closed its end is about to end itself
            self._process.wait(0.1)
        code = self._process.returncode
        ended = "" if code is None else f" (exit code {code})"
        self.close()
        return GameFailed(f"{self._name}: {what}{ended}; its processes were ended")
