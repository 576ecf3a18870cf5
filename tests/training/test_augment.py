"""Augmentation: what it keeps, where picture and mask go together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from training.augment import Augmentation, augment
from training.datasets import PreparedCases
from training.feed import Feed
from training.reading import Margin
from training.recipe import Recipe

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
    sharpness=0,
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


def test_sharpness_changes_detail_and_leaves_flat_ground_as_it_is() -> None:
    stripes = tf.tile(tf.constant([100.0, 140.0], tf.float32)[None, :, None], [64, 32, 1])
    images = tf.stack([stripes] * 12 + [tf.fill([64, 64, 1], 100.0)] * 4)
    changed, _ = augment(images, tf.zeros([16, 16, 16, 1]), tf.constant([1, 2]), replace(STILL, sharpness=0.5))
    contrast = tf.math.reduce_std(changed[:12, 2:-2, 2:-2], axis=[1, 2, 3]) / 20
    assert 0.3 < float(tf.reduce_min(contrast)) < 0.9
    assert 1.1 < float(tf.reduce_max(contrast)) < 1.7
    np.testing.assert_allclose(changed[12:], images[12:], atol=0.01)


def test_blanking_never_hides_a_fracture() -> None:
    masks = np.zeros((1, 16, 16, 1), np.float32)
    masks[0, 2:5, 2:5] = 1
    how = replace(STILL, blank_patches=40, blank_border=0.1)
    changed, _ = augment(tf.fill([1, 64, 64, 1], 100.0), tf.constant(masks), tf.constant([1, 2]), how)
    assert float(tf.reduce_min(changed[0, 8:20, 8:20])) > 0
    assert float(tf.reduce_min(changed)) == 0


def test_the_share_of_unwarped_pictures_is_only_mirrored() -> None:
    images = tf.random.stateless_uniform([40, 64, 64, 1], [1, 2], 1, 255)
    masks = images[:, ::4, ::4] / 255
    moving = replace(STILL, flip_horizontal=True, flip_vertical=True, rotation=30, shift=0.1, zoom=0.2, stretch=0.1)
    changed, moved = augment(images, masks, tf.constant([5, 6]), replace(moving, unwarped=0.5))
    kept = 0
    for before, after, mask_before, mask_after in zip(images, changed, masks, moved, strict=True):
        for axes in ([], [0], [1], [0, 1]):
            if np.abs(tf.reverse(before, axes) - after).max() < 0.05:
                kept += 1
                np.testing.assert_allclose(tf.reverse(mask_before, axes), mask_after, atol=1e-3)
    assert 10 <= kept <= 30


def test_the_feed_cuts_the_margin_that_reading_cuts(prepared: dict[str, PreparedCases], tiny_recipe: Recipe) -> None:
    cut = replace(tiny_recipe, augmentation=STILL, model=replace(tiny_recipe.model, margin=0.1))
    whole = replace(tiny_recipe, augmentation=STILL)
    (images, _, _), (plain, _, _) = (next(Feed(prepared["train"], recipe).batches(0)) for recipe in (cut, whole))
    assert float(tf.reduce_sum(images)) < float(tf.reduce_sum(plain))
    np.testing.assert_allclose(images, Margin(0.1)(plain), atol=1e-3)
