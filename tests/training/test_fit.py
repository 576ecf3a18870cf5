"""Fitting: where stages end, and that a killed run ends like an undisturbed one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiograph.phantom_dataset import PhantomDataset
from training import checkpoint
from training.checkpoint import Checkpoint
from training.datasets import PreparedCases
from training.fit import CHECKPOINT, RunError, fit
from training.recipe import Recipe, Stage


def test_a_run_of_another_recipe_is_not_gone_on_with(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / CHECKPOINT, Checkpoint(3, 0, {}, recipe={"name": "other"}))
    with pytest.raises(RunError, match="another recipe"):
        fit(tiny_recipe, prepared["train"], prepared["val"], tmp_path)


def test_a_run_killed_where_one_stage_ends_begins_the_next_with_an_optimizer_of_its_own(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    first = replace(tiny_recipe, stages=tiny_recipe.stages[:1])
    fit(first, prepared["train"], prepared["val"], tmp_path)
    saved = checkpoint.load(tmp_path / CHECKPOINT)
    assert saved is not None
    assert saved.stage == 1
    checkpoint.save(tmp_path / CHECKPOINT, replace(saved, recipe=tiny_recipe.as_dict()))
    history = fit(tiny_recipe, prepared["train"], prepared["val"], tmp_path)
    assert [entry["stage"] for entry in history] == [1, 2]


def test_losses_that_rise_lower_the_rate_and_then_end_the_stage(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    stage = Stage(9, 1e-3, schedule="plateau", plateau_patience=1, plateau_factor=0.1)
    recipe = replace(tiny_recipe, patience=2, stages=(stage,))
    fit(replace(recipe, stages=(replace(stage, epochs=1),)), prepared["train"], prepared["val"], tmp_path)
    saved = checkpoint.load(tmp_path / CHECKPOINT)
    assert saved is not None
    first = saved.history[0]
    risen = [{**first, "val_loss": -9.0}, {**first, "epoch": 2, "val_loss": -8.0}]
    state = replace(saved, stage=0, step=2 * saved.step, history=risen, recipe=recipe.as_dict())
    checkpoint.save(tmp_path / CHECKPOINT, state)
    history = fit(recipe, prepared["train"], prepared["val"], tmp_path)
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert history[2]["learning_rate"] == pytest.approx(0.1 * 3 * first["learning_rate"], rel=1e-3)


RUN = """
import sys
from pathlib import Path
from rich.console import Console
from training.datasets import load, prepare_cases
from training.fit import fit
from training.model import ModelConfig
from training.recipe import Recipe, Stage
recipe = Recipe(name="tiny", batch=4, model=ModelConfig(weights="none", input_size=64, width=16, dense=(8,)),
                stages=(Stage(1, 1e-3), Stage(2, 1e-3, 15)))
cases = load(Path(sys.argv[1]))
sides = [prepare_cases([c for c in cases if c.split == s], 64) for s in ("train", "val")]
fit(recipe, *sides, Path(sys.argv[2]), console=Console(), checkpoint_seconds=0)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_three_times_ends_like_an_undisturbed_one(phantoms: PhantomDataset, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(phantoms.by_manifest)]
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    for kill_at in (1, 5, 10):
        process = subprocess.Popen([*command, str(broken)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_step(broken, kill_at, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(broken)], check=True, capture_output=True)
    first, second = (checkpoint.load(folder / CHECKPOINT) for folder in (whole, broken))
    assert first is not None
    assert second is not None
    assert first.step == second.step
    for ours, theirs in zip(first.arrays["average"], second.arrays["average"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert [e["epoch"] for e in second.history] == [1, 2, 3]


def _wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        saved = checkpoint.load(run / CHECKPOINT)
        if saved is not None and saved.step >= step:
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    pytest.fail(f"step {step} was never reached")
