"""Sampling: what an epoch shows, how often, and that the draw of a recipe never changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.datasets import PreparedCases
from training.recipe import Recipe, Sampling
from training.sampling import epoch_order


@pytest.mark.parametrize("fractured", [0, 0.4, 1, 2.5, 3])
@pytest.mark.parametrize("normals", [0.5, 1.0, 2.25])
def test_an_epoch_shows_what_the_sampling_says(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe, fractured: float, normals: float
) -> None:
    train = prepared["train"]
    recipe = replace(tiny_recipe, batch=1, sampling={"manifest": Sampling(fractured, normals)})
    shown = np.bincount(epoch_order(train, recipe, 0).ravel(), minlength=len(train.labels))
    for label, times in ((1, fractured), (0, normals)):
        of_label = shown[train.labels == label]
        assert of_label.sum() == round(times * len(of_label))
        assert set(of_label.tolist()) <= {int(times), int(times) + (times % 1 > 0)}


def test_a_share_of_the_fractured_is_drawn_afresh_each_epoch(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe
) -> None:
    train = prepared["train"]
    recipe = replace(tiny_recipe, batch=1, sampling={"manifest": Sampling(fractured=0.5, normals=0)})
    shown = [frozenset(epoch_order(train, recipe, epoch).ravel().tolist()) for epoch in range(8)]
    assert len(set(shown)) > 1
    assert set().union(*shown) == set(np.flatnonzero(train.labels).tolist())


def test_epochs_differ_and_the_same_epoch_does_not(prepared: dict[str, PreparedCases], tiny_recipe: Recipe) -> None:
    first, again = (epoch_order(prepared["train"], tiny_recipe, 0) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, epoch_order(prepared["train"], tiny_recipe, 1))


def test_the_draw_of_a_recipe_stays_what_it_was_in_version_1(
    prepared: dict[str, PreparedCases], tiny_recipe: Recipe
) -> None:
    train = prepared["train"]
    recipe = replace(tiny_recipe, sampling={"manifest": Sampling(fractured=2, normals=0.5)})
    shown = [[12, 13, 3, 11], [5, 14, 15, 5], [11, 6, 9, 1], [10, 7, 9, 1], [3, 7, 15, 13]]
    assert epoch_order(train, recipe, 3).tolist() == shown
