"""Checkpoints: whole or not there, damage is seen, a full disk or a kill costs nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import shutil
import signal
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.learner.checkpoint import CheckpointError, load_newest_valid, plain, save, unplain


def state_of(step: int) -> dict[str, Any]:
    """Two parts that follow from `step`: tensors, and plain values of every kind."""
    weights = torch.randn(40, 30, generator=torch.Generator().manual_seed(step))
    return {
        "update": {"agent": OrderedDict(weight=weights), "optimiser": {"state": {0: {"step": torch.tensor(step)}}}},
        "counters": {"env_steps": 2**62 + step, "rate": 0.5, "name": "run", "best": None, "on": True, "t": (1, [2])},
    }


def assert_is(loaded: tuple[int, dict[str, Any]] | None, step: int) -> None:
    assert loaded is not None
    assert loaded[0] == step
    state, wanted = loaded[1], state_of(step)
    assert torch.equal(state["update"]["agent"]["weight"], wanted["update"]["agent"]["weight"])
    assert state["update"]["optimiser"]["state"][0]["step"].item() == step
    assert state["counters"] == wanted["counters"]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load_newest_valid(tmp_path / "none") is None
    assert save(tmp_path, 40, state_of(40))
    assert_is(load_newest_valid(tmp_path), 40)
    assert (tmp_path / "LATEST").read_text() == "step-000000000040\n"
    manifest = json.loads((tmp_path / "step-000000000040" / "manifest.json").read_text())
    assert sorted(manifest["files"]) == ["counters.pt", "update.pt"]


def test_the_newest_few_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11, 100):
        assert save(tmp_path, step, state_of(step), keep=2)
    assert names(tmp_path) == ["LATEST", "step-000000000011", "step-000000000100"]
    assert_is(load_newest_valid(tmp_path), 100)


def test_a_view_of_a_large_tensor_is_saved_as_what_it_shows(tmp_path: Path) -> None:
    large = torch.zeros(1_000_000)
    assert save(tmp_path, 1, {"part": {"view": large[:10], "leaf": torch.nn.Parameter(large[:3])}})
    assert (tmp_path / "step-000000000001" / "part.pt").stat().st_size < 10_000
    loaded = load_newest_valid(tmp_path)
    assert loaded is not None
    assert type(loaded[1]["part"]["leaf"]) is torch.Tensor


@pytest.mark.parametrize("name", ["manifest.json", "update.pt", "counters.pt"])
@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_any_file_is_seen(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bit: int
) -> None:
    directory = tmp_path_factory.mktemp("checkpoints")
    save(directory, 1, state_of(1))
    save(directory, 2, state_of(2))
    path = directory / "step-000000000002" / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    assert_is(load_newest_valid(directory), 1)
    shutil.rmtree(directory)


def test_going_back_is_said_loudly_and_having_none_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, state_of(step))
    (tmp_path / "step-000000000003" / "update.pt").unlink()
    (tmp_path / "step-000000000002" / "manifest.json").write_text("")
    with caplog.at_level(logging.WARNING):
        assert_is(load_newest_valid(tmp_path), 1)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "step-000000000003" in caplog.text
    assert "going on from step 1" in caplog.text
    (tmp_path / "step-000000000001" / "counters.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"none of the checkpoints .* is whole .*counters\.pt is damaged"):
        load_newest_valid(tmp_path)


def test_a_run_that_went_back_sets_newer_checkpoints_aside(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step, state_of(step))
    (tmp_path / "step-000000000020" / "update.pt").write_bytes(b"damaged")
    assert_is(load_newest_valid(tmp_path), 10)
    assert save(tmp_path, 15, state_of(15), keep=2)
    assert names(tmp_path) == ["LATEST", "step-000000000010", "step-000000000015", "step-000000000020.aside"]
    assert_is(load_newest_valid(tmp_path), 15)


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, 5, {"part": 1})
    save(tmp_path, 5, {"part": 2})
    assert load_newest_valid(tmp_path) == (5, {"part": 2})
    assert names(tmp_path) == ["LATEST", "step-000000000005"]
    # Killed between the two renames: the previous one is still found.
    (tmp_path / "step-000000000005").rename(tmp_path / "step-000000000005.old")
    assert load_newest_valid(tmp_path) == (5, {"part": 2})


@contextlib.contextmanager
def files_limited_to(nbytes: int) -> Iterator[None]:
    """Every write that makes a file longer fails with OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("nbytes", [0, 100, 1500, 4000])
def test_a_full_disk_keeps_the_previous_checkpoint_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, nbytes: int
) -> None:
    save(tmp_path, 1, state_of(1))
    with caplog.at_level(logging.WARNING), files_limited_to(nbytes):
        written = save(tmp_path, 2, state_of(2))
    assert not written
    assert "CHECKPOINT NOT WRITTEN at step 2" in caplog.text
    assert "File too large" in caplog.text
    assert names(tmp_path) == ["LATEST", "step-000000000001"]
    assert_is(load_newest_valid(tmp_path), 1)
    assert save(tmp_path, 2, state_of(2))
    assert_is(load_newest_valid(tmp_path), 2)


def test_an_error_of_the_program_is_not_taken_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        save(tmp_path, 1, state_of(1))


def test_a_process_killed_while_saving_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    save(tmp_path, 0, state_of(0))
    rng = np.random.default_rng(0)
    for _ in range(15):
        reading, writing = os.pipe()
        loaded = load_newest_valid(tmp_path)
        assert loaded is not None
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                step = loaded[0]
                while True:
                    step += 1
                    save(tmp_path, step, state_of(step), keep=2)
                    os.write(writing, b".")
            os._exit(1)
        os.close(writing)
        wanted = int(rng.integers(1, 6))
        count = 0
        while count < wanted:
            said = os.read(reading, wanted - count)
            assert said, "the child ended by itself"
            count += len(said)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := len(os.read(reading, 1 << 16)):
            count += more
        os.close(reading)
        after = load_newest_valid(tmp_path)
        assert after is not None
        assert after[0] - (loaded[0] + count) in (0, 1)
        assert_is(after, after[0])
    assert save(tmp_path, 10**6, state_of(10**6), keep=1)
    assert names(tmp_path) == ["LATEST", "step-000001000000"]


def test_a_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    for kind in (np.random.PCG64, np.random.Philox, np.random.MT19937):
        rng = np.random.Generator(kind(3))
        rng.integers(0, 10, 7, dtype=np.uint32)
        save(tmp_path, 1, {"rng": plain(rng.bit_generator.state)})
        loaded = load_newest_valid(tmp_path)
        assert loaded is not None
        other = np.random.Generator(kind(4))
        other.bit_generator.state = unplain(loaded[1]["rng"])
        assert other.random() == rng.random()
        assert (other.integers(0, 99, 20, dtype=np.uint32) == rng.integers(0, 99, 20, dtype=np.uint32)).all()


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"part": {"a": [1, np.zeros(2)]}}, r"part\.a\[1\] must be a tensor or a plain value, got ndarray"),
        ({"part": {"a": np.float64(1.0)}}, r"part\.a must be .* got float64"),
        ({"part": {(1, 2): 3}}, r"part: a key must be a str or an int"),
        ({"part": lambda: None}, r"part must be .* got function"),
    ],
)
def test_what_could_not_be_read_back_safely_is_refused(tmp_path: Path, state: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        save(tmp_path, 1, state)
    assert names(tmp_path) == []


def test_a_part_s_name_is_a_plain_word(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a part's name .* got '\.\./x'"):
        save(tmp_path, 1, {"../x": 1})
