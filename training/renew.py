"""Renewing: the deep end of a trained network begins again from ImageNet while all else it learned stays.

For a network whose deepest features came out the same for every picture: such features have no gradient left.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

import keras
import numpy as np

from training.backbones import backbone
from training.feed import Feed
from training.model import build_model
from training.recipe import Recipe
from training.step import Strategy, make_statistics_step

_BATCHES: Final = 40
_MOMENTUM: Final = 0.8
"""Of BatchNorm while it counts: after 40 batches nothing of the old statistics is left."""
_LATERAL_GAIN: Final = 0.1
"""Scale at which renewed features join the finer ones: the network begins as it was, and takes up what helps."""


def renew(network: keras.Model, recipe: Recipe, feed: Feed, strategy: Strategy) -> None:
    """Put ImageNet's weights into the blocks of ``network`` from ``recipe.renew_from_block`` on.

    Their BatchNorm counts its statistics anew on pictures of ``feed``, because the features before them have changed;
    what reads the deepest features begins near zero, so that the network says at first what it said before.
    Raises ``BackboneError`` where the weights cannot be had.
    """
    fresh = build_model(replace(recipe.model, weights="imagenet"))
    block_of = backbone(recipe.model.backbone).block_of
    first = recipe.renew_from_block or 0
    renewed = [layer for layer in network.layers if (block := block_of(layer.name)) is not None and block >= first]
    for layer in renewed:
        layer.set_weights(fresh.get_layer(layer.name).get_weights())
    network.get_layer("lateral32_conv").set_weights(fresh.get_layer("lateral32_conv").get_weights())
    gamma, *others = fresh.get_layer("lateral32_bn").get_weights()
    network.get_layer("lateral32_bn").set_weights([gamma * _LATERAL_GAIN, *others])
    _forget_deep_features(network)
    norms = [layer for layer in renewed if isinstance(layer, keras.layers.BatchNormalization)]
    _count_statistics(network, norms, feed, strategy)


def _forget_deep_features(network: keras.Model) -> None:
    """Let the picture head's first layer read nothing from the deepest features, which come first in it."""
    count = int(network.get_layer("pool_deep").output.shape[-1])
    gamma, beta, mean, variance = (np.array(weight) for weight in network.get_layer("features_bn").get_weights())
    gamma[:count], beta[:count], mean[:count], variance[:count] = 1, 0, 0, 1
    network.get_layer("features_bn").set_weights([gamma, beta, mean, variance])
    reader = network.get_layer("dense0")
    kernel, *rest = (np.array(weight) for weight in reader.get_weights())
    kernel[:count] = 0
    reader.set_weights([kernel, *rest])


def _count_statistics(
    network: keras.Model, norms: list[keras.layers.BatchNormalization], feed: Feed, strategy: Strategy
) -> None:
    before = [(norm.trainable, norm.momentum) for norm in norms]
    for norm in norms:
        norm.trainable, norm.momentum = True, _MOMENTUM
    count = make_statistics_step(network, strategy)
    for images, _, _ in itertools.islice(feed.batches(0), _BATCHES):
        count(images)
    for norm, (trainable, momentum) in zip(norms, before, strict=True):
        norm.trainable, norm.momentum = trainable, momentum
