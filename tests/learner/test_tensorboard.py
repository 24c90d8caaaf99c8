"""What TensorBoard would read of a run."""

from __future__ import annotations

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from powqmix.learner.tensorboard import TensorBoard


def events(folder: Path) -> list[Event]:
    """All events of a folder, in the order of their files: records of a length, a check sum, bytes, a check sum."""
    found = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + size]))
            at += 16 + size
    return found


def test_numbers_become_scalars_over_steps_and_a_resumed_run_takes_its_steps_again(tmp_path: Path) -> None:
    first = TensorBoard(tmp_path, 0)
    first.write({"env_steps": 40, "time": 7.0, "loss_tot": 0.5, "bottleneck": "learner", "return_mean": None})
    first.write({"env_steps": 90, "time": 8.0, "test_env_steps": 80, "test_return_mean": 3.0})
    first.close()
    scalars = [(v.tag, e.step, e.wall_time, v.simple_value) for e in events(tmp_path) for v in e.summary.value]
    assert scalars == [("loss_tot", 40, 7.0, 0.5), ("test_return_mean", 80, 8.0, 3.0)]

    TensorBoard(tmp_path, 60).close()
    starts = [e.step for e in events(tmp_path) if e.HasField("session_log")]
    assert starts == [60]  # TensorBoard drops what earlier files hold past it
