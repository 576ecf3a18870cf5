"""A small network with random weights, for what export makes of any network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from training.model import ModelConfig, build_model


def small_network(images: np.ndarray[Any, np.dtype[np.uint8]]) -> keras.Model:
    """Return a network for pictures [N,S,S,1] whose BatchNorm has counted these, so that its answers to them differ."""
    keras.utils.set_random_seed(3)
    built = build_model(ModelConfig(weights="none", input_size=images.shape[1], width=16, dense=(8,)))
    for layer in built.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    built(images.astype(np.float32), training=True)
    return built
