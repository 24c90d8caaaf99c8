"""Parameters in shared memory: whole, in order, and only those of this run."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from powqmix.wire.parameters import ParameterError, ParameterReader, ParameterWriter, Vector

COUNT = 5001  # odd: the slots are padded


def vector(version: int, count: int = COUNT) -> Vector:
    """All elements tell the version, each in its own way: a mixture of two vectors fits neither."""
    return (np.arange(count, dtype=np.float32) % 7 + version % 100_000).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "parameters"


def write_without_pause(path: Path, stop: Any) -> None:
    writer = ParameterWriter(path, COUNT)
    version = 0
    while not stop.is_set():
        writer.write(vector(version), version)
        version += 1


def test_a_reader_beside_a_busy_writer_sees_whole_vectors_in_order(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    process = spawn.Process(target=write_without_pause, args=(path, stop))
    process.start()
    try:
        deadline = time.monotonic() + 30
        while not path.exists() or path.stat().st_size == 0:
            assert time.monotonic() < deadline
        reader = ParameterReader(path, COUNT)
        newest, versions = -1, set()
        started = None
        while time.monotonic() < deadline and (started is None or time.monotonic() < started + 1.5):
            announced = reader.version
            found = reader.read()
            if found is None:
                continue
            started = started or time.monotonic()
            values, version = found
            np.testing.assert_array_equal(values, vector(version))
            assert version >= newest
            assert version >= announced
            newest = version
            versions.add(version)
        assert len(versions) > 100
        reader.close()
    finally:
        stop.set()
        process.join(30)
    assert process.exitcode == 0


def test_what_is_written_is_read(path: Path) -> None:
    for count in (1, 2, COUNT):
        writer, reader = ParameterWriter(path, count), ParameterReader(path, count)
        for version in (0, 1, 5, 2**62):
            writer.write(vector(version, count), version)
            found = reader.read()
            assert found is not None
            assert (found[1], reader.version, writer.version) == (version, version, version)
            np.testing.assert_array_equal(found[0], vector(version, count))
        reader.close()
        writer.close()
        path.unlink()


def test_there_is_nothing_before_the_first_write(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ParameterReader(path, COUNT)
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    assert (reader.version, reader.read()) == (-1, None)
    writer.write(vector(0), 0)
    assert reader.version == 0


def test_what_was_read_does_not_change_with_the_next_write(path: Path) -> None:
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    writer.write(vector(1), 1)
    found = reader.read()
    assert found is not None
    writer.write(vector(2), 2)
    writer.write(vector(3), 3)
    np.testing.assert_array_equal(found[0], vector(1))


def test_a_vector_that_need_not_be_contiguous_is_written_as_it_is(path: Path) -> None:
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    writer.write(np.repeat(vector(1), 2)[::2], 1)
    found = reader.read()
    assert found is not None
    np.testing.assert_array_equal(found[0], vector(1))


def test_a_new_writer_takes_over_without_disturbing_readers(path: Path) -> None:
    first, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    first.write(vector(1), 1)
    first.write(vector(2), 2)
    first.close()
    second = ParameterWriter(path, COUNT)
    assert reader.version == 2
    second.write(vector(3), 3)
    found = reader.read()
    assert found is not None
    assert found[1] == 3


@pytest.mark.parametrize("killed_at", ["before the vector", "within the vector", "before the version"])
def test_a_writer_killed_within_a_write_leaves_the_last_version(path: Path, killed_at: str) -> None:
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    writer.write(vector(1), 1)
    slot = 1 - int(writer._head[2])
    writer._slots[slot, 0] = 2**64 - 1
    if killed_at != "before the vector":
        half = COUNT // 2 if killed_at == "within the vector" else COUNT
        writer._vectors[slot][:half] = vector(2)[:half]
    found = reader.read()
    assert found is not None
    assert (found[1], reader.version) == (1, 1)
    ParameterWriter(path, COUNT).write(vector(3), 3)
    found = reader.read()
    assert found is not None
    assert found[1] == 3


def test_a_damaged_vector_is_not_given_out(path: Path) -> None:
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    writer.write(vector(1), 1)
    writer._vectors[int(writer._head[2])][17] += 1
    assert reader.read() is None


def test_a_file_of_other_parameters_is_refused(path: Path) -> None:
    ParameterWriter(path, COUNT).write(vector(1), 1)
    with pytest.raises(ParameterError, match=f"does not hold {COUNT + 2} parameters"):
        ParameterReader(path, COUNT + 2)


@pytest.mark.parametrize(
    "wrong", [vector(1)[:-1], vector(1).astype(np.float64), vector(1).reshape(3, -1)], ids=["short", "double", "matrix"]
)
def test_a_wrong_vector_is_refused_with_both_shapes(path: Path, wrong: Vector) -> None:
    writer, reader = ParameterWriter(path, COUNT), ParameterReader(path, COUNT)
    with pytest.raises(ValueError, match=rf"float32 \[{COUNT}\], got float\d\d \["):
        writer.write(wrong, 1)
    assert reader.version == -1
