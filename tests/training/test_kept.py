"""The picture head learns from kept vectors what it would learn from the pictures themselves."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from training.augment import Augmentation
from training.datasets import PreparedCases
from training.fit import fit
from training.kept import ACROSS, DOWN, Head, Kept, KeptFeed, can_be_kept
from training.model import LOGIT, MAP, build_model
from training.reading import without_margin
from training.recipe import Recipe, Stage
from training.sampling import epoch_order
from training.step import set_learning
from training.validate import outputs
from training.weights import save_weights

MIRRORED = Augmentation(
    rotation=0, zoom=0, stretch=0, shift=0, gamma=0, contrast=0, noise=0, blank_border=0, blank_patches=0
)
HEAD = Stage(2, 1e-3, learns="picture head")


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    """The tiny recipe, its picture head alone learning, in a network that reads otherwise than it trains."""
    shape = replace(tiny_recipe.model, smoothing=1, margin=0.03, vote=0.02)
    return replace(tiny_recipe, model=shape, augmentation=MIRRORED, stages=(HEAD,), ema=0.9)


def lively(recipe: Recipe, cases: PreparedCases, dropout: float = 0.5) -> keras.Model:
    """Return a network whose random features differ from picture to picture: its BatchNorm has counted some."""
    network = build_model(replace(recipe.model, dropout=dropout))
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    network(tf.cast(cases.images, tf.float32), training=True)
    set_learning(network, recipe, HEAD)
    return network


@pytest.mark.parametrize("training", [False, True])
def test_the_head_says_of_a_kept_vector_what_the_network_says_of_the_picture(
    recipe: Recipe, prepared: dict[str, PreparedCases], training: bool
) -> None:
    val, kept = prepared["val"], Kept()
    network = lively(recipe, val, dropout=0.0)
    head, rows, upright = Head(network), range(len(val.cases)), None
    for mirrored in (0, ACROSS, DOWN, ACROSS + DOWN):
        shown = [(row, mirrored) for row in rows]
        vectors = tf.constant(kept.vectors(network, recipe.model, val, shown, training=training))
        said = head(vectors, training=training)
        pictures = val.images[:, :, ::-1] if mirrored & ACROSS else val.images
        pictures = tf.cast(pictures[:, ::-1] if mirrored & DOWN else pictures, tf.float32)
        expected = network(without_margin(pictures, recipe.model.margin) if training else pictures, training=training)
        for name in (LOGIT, MAP):
            np.testing.assert_allclose(said[name], expected[name], rtol=1e-4, atol=1e-4)
        assert upright is None or np.abs(upright - said[MAP]).max() > 1e-2, "the looks differ"
        upright = said[MAP] if upright is None else upright
        assert not np.allclose(head(vectors, training=not training)[LOGIT], said[LOGIT]), "the map votes in reading"


def test_what_was_kept_is_not_looked_at_again_unless_the_network_differs_before_the_head(
    recipe: Recipe, prepared: dict[str, PreparedCases]
) -> None:
    val, said = prepared["val"], io.StringIO()
    network = lively(recipe, val)
    kept = Kept(Console(file=said, force_terminal=True, width=120))
    count = len(val.cases)
    first = kept.outputs(network, recipe.model, val)
    assert f"Looking once at {count} pictures" in said.getvalue()
    for name, value in outputs(network, val.images).items():
        if name in first:
            np.testing.assert_allclose(first[name], value, rtol=1e-4, atol=1e-4)
    said.truncate(0)
    dense = network.get_layer("picture")
    dense.set_weights([weight + 1 for weight in dense.get_weights()])
    assert not np.allclose(kept.outputs(network, recipe.model, val)[LOGIT], first[LOGIT])
    assert "Looking" not in said.getvalue()
    kept.outputs(network, recipe.model, val, ACROSS)
    assert f"Looking once at {count} pictures" in said.getvalue()
    said.truncate(0)
    merge = network.get_layer("merge8_conv")
    merge.set_weights([weight * 2 for weight in merge.get_weights()])
    assert not np.allclose(kept.outputs(network, recipe.model, val)[MAP], first[MAP])
    assert f"Looking once at {count} pictures" in said.getvalue()


def test_a_feed_of_vectors_deals_each_picture_of_the_epoch_in_its_four_looks(
    recipe: Recipe, prepared: dict[str, PreparedCases]
) -> None:
    train, kept = prepared["train"], Kept()
    network = lively(recipe, train)
    feed = KeptFeed(train, recipe, network, kept, range(2))
    dealt = list(feed.batches(1))
    order = epoch_order(train, recipe, 1)
    assert len(dealt) == len(order)
    looks = set()
    for rows, (vectors, masks, facts) in zip(order, dealt, strict=True):
        np.testing.assert_array_equal(facts[:, 0], train.labels[rows])
        for row, vector, mask in zip(rows, vectors, masks, strict=True):
            mirrored = _how_mirrored(kept, network, recipe, train, int(row), np.asarray(vector))
            looks.add(mirrored)
            whole = train.masks[row][:, ::-1] if mirrored & ACROSS else train.masks[row]
            whole = whole[::-1] if mirrored & DOWN else whole
            np.testing.assert_allclose(mask[..., 0], whole / 255, atol=1e-6)
    assert looks == {0, ACROSS, DOWN, ACROSS + DOWN}
    rest = list(feed.batches(1, 1))
    assert len(rest) == len(dealt) - 1
    np.testing.assert_array_equal(rest[0][0], dealt[1][0])


def _how_mirrored(
    kept: Kept, network: keras.Model, recipe: Recipe, train: PreparedCases, row: int, vector: np.ndarray
) -> int:
    ways = (0, ACROSS, DOWN, ACROSS + DOWN)
    vectors = kept.vectors(network, recipe.model, train, [(row, way) for way in ways], training=True)
    return ways[int(np.argmin(np.abs(vectors - vector).max(axis=1)))]


def test_an_upright_recipe_is_dealt_upright(recipe: Recipe, prepared: dict[str, PreparedCases]) -> None:
    upright = replace(recipe, augmentation=replace(MIRRORED, flip_horizontal=False, flip_vertical=False))
    train, kept = prepared["train"], Kept()
    network = lively(recipe, train)
    row = int(epoch_order(train, upright, 0)[0, 0])
    vectors, _, _ = next(KeptFeed(train, upright, network, kept, [0]).batches(0))
    assert _how_mirrored(kept, network, recipe, train, row, np.asarray(vectors[0])) == 0


def test_only_a_head_that_sees_mirrored_pictures_at_most_learns_from_what_is_kept(recipe: Recipe) -> None:
    assert can_be_kept(recipe, HEAD)
    assert can_be_kept(replace(recipe, augmentation=replace(MIRRORED, unwarped=0.5, flip_vertical=False)), HEAD)
    assert not can_be_kept(recipe, Stage(1, 1e-3))
    for changed in ({"rotation": 1.0}, {"noise": 1.0}, {"sharpness": 0.1}, {"blank_patches": 1}, {"gamma": 0.1}):
        assert not can_be_kept(replace(recipe, augmentation=replace(MIRRORED, **changed)), HEAD)


def test_a_run_on_kept_vectors_moves_the_dense_layers_alone_and_a_second_one_looks_at_nothing(
    recipe: Recipe, prepared: dict[str, PreparedCases], tmp_path: Path
) -> None:
    first = tmp_path / "first.npz"
    save_weights(lively(recipe, prepared["train"]), recipe, first)
    recipe = replace(recipe, start=str(first))
    said = io.StringIO()
    kept = Kept(Console(file=said, force_terminal=True, width=120))
    history = fit(recipe, prepared["train"], prepared["val"], tmp_path / "a", console=Console(quiet=True), kept=kept)
    assert len(history) == 2
    assert history[0]["val_pointing"] == history[1]["val_pointing"], "the map stays as it is"
    with np.load(first) as old, np.load(tmp_path / "a" / "best.npz") as new:
        moved = {key.split("/")[0] for key in old if key != "recipe" and not np.array_equal(old[key], new[key])}
    assert moved == {"dense0", "picture"}
    assert "Looking once" in said.getvalue()
    said.truncate(0)
    again = fit(recipe, prepared["train"], prepared["val"], tmp_path / "b", console=Console(quiet=True), kept=kept)
    assert "Looking once" not in said.getvalue()
    for ours, theirs in zip(again, history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-5)
