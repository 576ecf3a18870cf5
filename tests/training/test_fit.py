"""Fitting: what an epoch shows, what augmentation keeps, and that a killed run ends like an undisturbed one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from radiograph.phantom_dataset import PhantomDataset
from training import checkpoint
from training.augment import Augmentation, augment
from training.checkpoint import Checkpoint
from training.datasets import PreparedCases
from training.fit import CHECKPOINT, RunError, fit
from training.recipe import RECIPES, Recipe, RecipeError, load_recipe, recipe_from_dict

STILL = Augmentation(
    flip_horizontal=False,
    flip_vertical=False,
    rotation=0,
    zoom=0,
    stretch=0,
    shift=0,
    gamma=0,
    contrast=0,
    noise=0,
    blank_border=0,
    blank_patches=0,
)


def test_augmentation_switched_off_changes_nothing() -> None:
    images = tf.random.stateless_uniform([2, 64, 64, 1], [1, 2], 0, 255)
    masks = tf.random.stateless_uniform([2, 16, 16, 1], [3, 4])
    changed, moved = augment(images, masks, tf.constant([1, 2]), STILL)
    np.testing.assert_allclose(changed, images, atol=0.01)
    np.testing.assert_allclose(moved, masks, atol=1e-5)


def test_picture_and_mask_move_together() -> None:
    image = np.zeros((1, 64, 64, 1), np.float32)
    image[0, 8:24, 40:56] = 200
    mask = tf.constant(image[:, ::4, ::4] / 200)
    how = replace(STILL, flip_horizontal=True, flip_vertical=True, rotation=30, shift=0.1, zoom=0.2)
    for seed in range(6):
        changed, moved = augment(tf.constant(image), mask, tf.constant([seed, 0]), how)
        small = tf.nn.avg_pool2d(changed, 4, 4, "VALID") / 200
        assert float(tf.reduce_mean(tf.abs(small - moved))) < 0.02
        assert float(tf.reduce_max(moved)) > 0.9


def test_grey_values_stay_in_range_and_black_stays_black() -> None:
    images = tf.concat([tf.zeros([2, 64, 32, 1]), tf.fill([2, 64, 32, 1], 250.0)], axis=2)
    how = replace(STILL, gamma=0.5, contrast=0.5, noise=20)
    changed, _ = augment(images, tf.zeros([2, 16, 16, 1]), tf.constant([1, 2]), how)
    assert float(tf.reduce_max(changed)) <= 255
    assert float(tf.reduce_max(tf.abs(changed[:, :, :31]))) == 0


def test_blanking_never_hides_a_fracture() -> None:
    masks = np.zeros((1, 16, 16, 1), np.float32)
    masks[0, 2:5, 2:5] = 1
    how = replace(STILL, blank_patches=40, blank_border=0.1)
    changed, _ = augment(tf.fill([1, 64, 64, 1], 100.0), tf.constant(masks), tf.constant([1, 2]), how)
    assert float(tf.reduce_min(changed[0, 8:20, 8:20])) > 0
    assert float(tf.reduce_min(changed)) == 0


def test_a_run_of_another_recipe_is_not_gone_on_with(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path / CHECKPOINT, Checkpoint(3, 0, {}, recipe={"name": "other"}))
    with pytest.raises(RunError, match="another recipe"):
        fit(tiny_recipe, prepared["train"], prepared["val"], tmp_path)


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
@pytest.mark.timeout(600)
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


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_recipe_that_comes_along_is_whole(name: str) -> None:
    recipe = load_recipe(Path(name))
    assert recipe.name == name
    assert recipe.model.input_size % 32 == 0
    assert recipe_from_dict(recipe.as_dict()) == recipe


def test_an_unknown_entry_of_a_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[model]\ncolour = 3\n")
    with pytest.raises(RecipeError, match="colour"):
        load_recipe(tmp_path / "r.toml")


def test_a_missing_recipe_lists_those_that_come_along() -> None:
    with pytest.raises(RecipeError, match="fracture"):
        load_recipe(Path("gone"))
