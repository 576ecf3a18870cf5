"""Renewing: a network whose deepest features died says what it said before, with features that live again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from rich.console import Console

from training.datasets import PreparedCases
from training.feed import Feed
from training.fit import fit
from training.model import LOGIT, MAP, build_model
from training.recipe import Recipe
from training.renew import renew
from training.step import every_gpu, make_statistics_step
from training.validate import outputs, still_features
from training.weights import save_weights


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    """The tiny recipe, from ImageNet, renewed from block 11 on."""
    return replace(tiny_recipe, renew_from_block=11, model=replace(tiny_recipe.model, weights="imagenet"))


def test_dead_features_live_again_and_the_answer_stays(prepared: dict[str, PreparedCases], recipe: Recipe) -> None:
    network = build_model(recipe.model)
    norm = network.get_layer("head_conv_bn")
    gamma, *others = norm.get_weights()
    norm.set_weights([gamma * 0, *others])
    feed, images = Feed(prepared["train"], recipe), prepared["val"].images
    count = make_statistics_step(network, every_gpu())
    for epoch in range(15):
        for batch, _, _ in feed.batches(epoch):
            count(batch)
    assert still_features(network, images) > 0.9
    before = outputs(network, images)
    renew(network, recipe, feed, every_gpu())
    assert still_features(network, images) < 0.7
    after = outputs(network, images)
    np.testing.assert_allclose(after[LOGIT], before[LOGIT], atol=0.3)
    assert np.abs(after[MAP] - before[MAP]).mean() < 0.5 * before[MAP].std()


def test_blocks_before_the_first_keep_what_they_learned(prepared: dict[str, PreparedCases], recipe: Recipe) -> None:
    network = build_model(recipe.model)
    learned = {}
    for name in ("block10_dwconv", "block11_dwconv"):
        learned[name] = network.get_layer(name).get_weights()[0] + 1
        network.get_layer(name).set_weights([learned[name]])
    renew(network, recipe, Feed(prepared["train"], recipe), every_gpu())
    np.testing.assert_array_equal(network.get_layer("block10_dwconv").get_weights()[0], learned["block10_dwconv"])
    np.testing.assert_allclose(
        network.get_layer("block11_dwconv").get_weights()[0], learned["block11_dwconv"] - 1, atol=1e-6
    )


@pytest.mark.parametrize(("learns", "told"), [("network", True), ("picture head", False)])
def test_a_run_with_dead_features_says_so_where_they_could_learn(
    learns: Literal["network", "picture head"], told: bool,
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, tmp_path: Path,
) -> None:  # fmt: skip
    network = build_model(tiny_recipe.model)
    norm = network.get_layer("head_conv_bn")
    gamma, *others = norm.get_weights()
    norm.set_weights([gamma * 0, *others])
    save_weights(network, tiny_recipe, tmp_path / "dead.npz")
    said = io.StringIO()
    stage = replace(tiny_recipe.stages[0], epochs=1, learns=learns)
    recipe = replace(tiny_recipe, start=str(tmp_path / "dead.npz"), stages=(stage,))
    fit(recipe, prepared["train"], prepared["val"], tmp_path / "run", console=Console(file=said))
    assert ("of the deepest features are the same for all validation pictures" in said.getvalue()) is told
