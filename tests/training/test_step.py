"""Steps: two devices learn what one does, and the losses are what their papers say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from radiograph.phantom_dataset import PhantomDataset
from training.losses import location_loss, location_targets, location_unit, picture_loss
from training.model import build_model, freeze
from training.recipe import Recipe, Stage
from training.step import Optimizer


def test_the_picture_loss_is_smoothed_cross_entropy() -> None:
    told = picture_loss(tf.constant([0.0, 2.0]), tf.constant([1.0, 0.0]), 0.1)
    right = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(told, [np.log(2), -(0.05 * np.log(right) + 0.95 * np.log(1 - right))], rtol=1e-5)


def test_the_location_loss_forgives_what_is_nearly_right() -> None:
    targets = tf.constant([[[1.0, 0.0]]])
    right = location_loss(tf.constant([[[4.0, -4.0]]]), targets, 2.0)
    unsure = location_loss(tf.constant([[[0.0, 0.0]]]), targets, 2.0)
    np.testing.assert_allclose(unsure, [2 * 0.25 * np.log(2)], rtol=1e-5)
    assert float(right[0]) < float(unsure[0]) / 1000


def test_a_map_cell_is_taught_the_share_of_it_that_lies_within_a_box() -> None:
    masks = np.zeros((2, 8, 8, 1), np.float32)
    masks[0, :2, :4] = 1
    targets = location_targets(tf.constant(masks), 4)
    np.testing.assert_allclose(targets[0, 0], [1, 1, 0, 0])
    assert float(location_unit(targets, tf.constant([1.0, 1.0]))) == 8
    assert float(location_unit(targets * 10, tf.constant([1.0, 1.0]))) == 20
    assert float(location_unit(targets * 10, tf.constant([0.0, 1.0]))) == 8


def test_the_backbone_learns_at_a_rate_of_its_own(tiny_recipe: Recipe) -> None:
    network = build_model(tiny_recipe.model)
    freeze(network, tiny_recipe.model.backbone, 15)
    variables = network.trainable_variables
    before = [variable.numpy() for variable in variables]
    optimizer = Optimizer(network, replace(tiny_recipe, weight_decay=0), Stage(1, 0.1, 15, backbone_rate=0.2))
    optimizer.set_rate(0.01)
    optimizer.apply([tf.ones_like(variable.value) for variable in variables], variables)
    assert {path.split("_")[0] for path in (v.path for v in variables)} >= {"block15", "head", "dense0/kernel"}
    for variable, old in zip(variables, before, strict=True):
        rate = 0.002 if variable.path.startswith(("block", "head_conv")) else 0.01
        np.testing.assert_allclose(old - variable.numpy(), rate, rtol=1e-3)


TWO_DEVICES = """
import json
import sys
import tempfile
from pathlib import Path
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from rich.console import Console
from training import checkpoint
from training.datasets import load, prepare_cases
from training.fit import CHECKPOINT, fit
from training.model import ModelConfig
from training.recipe import Loss, Recipe, Stage
# dropout draws on each device for itself; five pictures do not divide by two
recipe = Recipe(name="tiny", batch=5, ema=0.5, loss=Loss(location=30),
                model=ModelConfig(weights="none", input_size=64, width=8, dense=(8,), dropout=0),
                stages=(Stage(1, 0.05, 15, "constant"),))
cases = load(Path(sys.argv[1]))
sides = [prepare_cases([c for c in cases if c.split == s], 64) for s in ("train", "val")]
for strategy in (None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    run = Path(tempfile.mkdtemp(dir=sys.argv[2]))
    history = fit(recipe, *sides, run, console=Console(stderr=True), strategy=strategy)
    moved = [float(np.linalg.norm(w)) for w in checkpoint.load(run / CHECKPOINT).arrays["model"]]
    print(json.dumps({"history": history, "norms": moved}))
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_does(phantoms: PhantomDataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    command = [sys.executable, "-W", "ignore", "-c", TWO_DEVICES, str(phantoms.by_manifest)]
    told = subprocess.run([*command, str(tmp_path_factory.mktemp("runs"))], check=True, capture_output=True, text=True)
    one, two = (json.loads(line) for line in told.stdout.splitlines() if line.startswith("{"))
    assert "between 2 devices" in told.stderr
    for figure in ("loss", "location_loss", "accuracy", "val_loss", "val_score"):
        assert two["history"][0][figure] == pytest.approx(one["history"][0][figure], rel=2e-3), figure
    np.testing.assert_allclose(two["norms"], one["norms"], rtol=2e-3, atol=1e-4)
