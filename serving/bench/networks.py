"""The networks whose export is measured, with the same pictures for every way of running them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export.fold import FLOAT32, Compute
from export.savedmodel import Answering, write_saved_model
from radiograph import prepare
from radiograph.phantom import phantom
from serving.bench.summary import ROOT, BenchError
from training.model import FEATURES, ModelConfig, build_model
from training.novelty import Novelty
from training.weights import load_weights, recipe_of

DEFAULT: Final = "default"
"""The network that ships, with its trained weights; any other name is a backbone, with random weights."""
_RANDOM_SIZE: Final = 224
THRESHOLDS: Final = (0.3, 0.7)


@dataclass(frozen=True, eq=False)
class Network:
    """A Keras network and the side in px of the grey pictures that it takes."""

    name: str
    keras: Any
    size: int


def build(name: str, weights: Path = ROOT / "models" / "weights" / "fracture.npz", size: int = 0) -> Network:
    """Return the network ``name``; ``size`` other than 0 replaces the side of its input, in px.

    Raises ``BenchError`` where the weights are not there, ``BackboneError`` for an unknown backbone.
    """
    if name != DEFAULT:
        config = ModelConfig(backbone=name, weights="none", input_size=size or _RANDOM_SIZE)
        return Network(name, build_model(config), config.input_size)
    if not weights.is_file():
        raise BenchError(f"The trained weights {weights} are not there. Name others with --weights.")
    config = replace(recipe_of(weights).model, weights="none")
    config = replace(config, input_size=size or config.input_size)
    network = build_model(config)
    load_weights(network, weights)
    return Network(name, network, config.input_size)


def pictures(count: int, size: int) -> NDArray[np.uint8]:
    """Return ``count`` phantoms prepared for a network of ``size`` px, uint8 [count,size,size,1]."""
    drawn = [phantom(seed=seed, fractured=seed % 2 == 1, size=(450, 600)) for seed in range(count)]
    return np.stack([prepare(one.radiograph, size).image for one in drawn])


def exported(network: Network, folder: Path, compute: Compute = FLOAT32) -> Path:
    """Write ``network`` as `osteo export` does where it computes in this, uncalibrated; return ``folder``."""
    count = network.keras.output[FEATURES].shape[1]
    zeros, ones = np.zeros(count, np.float32), np.ones(count, np.float32)
    basis = np.eye(count, 1, dtype=np.float32)
    novelty = Novelty(zeros, ones, basis, np.ones(1, np.float32), 1.0, 1.0)
    folder.mkdir(parents=True)
    answering = Answering(1.0, 0.0, THRESHOLDS, novelty)
    write_saved_model(network.keras, answering, folder, half_constants=True, compute=compute)
    return folder
