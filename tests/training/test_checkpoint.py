"""Checkpoints: whole at any moment, whatever the disk does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training import checkpoint
from training.array_file import WriteError, write_arrays
from training.checkpoint import Checkpoint, CheckpointError, before


def _state(step: int) -> Checkpoint:
    weights = np.random.default_rng(step).normal(size=5000).astype(np.float32)
    return Checkpoint(step, 1, {"model": [weights, np.array([3])]}, [{"epoch": 1}], {"name": "r"}, [0.5, 1.0])


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.npz", _state(4))
    read = checkpoint.load(tmp_path / "c.npz")
    assert read is not None
    assert (read.step, read.stage, read.history, read.recipe, list(read.sums)) == (
        4,
        1,
        [{"epoch": 1}],
        {"name": "r"},
        [0.5, 1.0],
    )
    for ours, theirs in zip(read.arrays["model"], _state(4).arrays["model"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_where_no_run_has_been_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "c.npz") is None


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_checkpoint_gives_way_to_the_one_before_it(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    for step in (1, 2):
        checkpoint.save(path, _state(step))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    said: list[str] = []
    for _ in range(2):
        read = checkpoint.load(path, said.append)
        assert read is not None
        assert read.step == 1
    assert said == [f"{path} is damaged; going on from the checkpoint before it."]


def test_bits_that_turned_over_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    checkpoint.save(path, _state(1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    checkpoint.save(path, _state(7))
    path.replace(before(path))
    read = checkpoint.load(path)
    assert read is not None
    assert read.step == 7


def test_a_full_disk_is_told_and_leaves_both_states(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    for step in (1, 2):
        checkpoint.save(path, _state(step))
    (tmp_path / "c.fresh.partial.npz").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="No space left on device") as told:
        checkpoint.save(path, _state(3))
    assert "\n" not in str(told.value)
    steps = [state.step for state in (checkpoint.load(path), checkpoint.load(before(path))) if state]
    assert steps == [2, 1]


def test_a_failed_write_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "w.partial.npz").symlink_to("/dev/full")
    with pytest.raises(WriteError):
        write_arrays(tmp_path / "w.npz", {"a": np.zeros(100_000)})
    assert list(tmp_path.iterdir()) == []
