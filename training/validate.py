"""What a network says of pictures it does not learn from, and the figures of a validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from training.datasets import PreparedCases
from training.localisation import pointing_game
from training.model import FEATURES, LOGIT, MAP

Epoch = dict[str, float]

MIRROR_GAIN: Final = 0.005
"""Of the validation score: less is not worth a second pass through the network."""

_ENOUGH: Final = 32
"""Pictures among which a live feature differs."""


def outputs(
    network: keras.Model, images: NDArray[np.uint8], batch: int = 32, *, mirrored: bool = False
) -> dict[str, NDArray[np.float32]]:
    """Return the network's outputs by name (``training.model``) for prepared images uint8 [N,S,S,1], row by row.

    With ``mirrored`` they are the mean over each picture and its mirror image, the map turned back.
    """

    @tf.function(reduce_retracing=True)
    def forward(x: Any) -> Any:
        return network(tf.cast(x, tf.float32), training=False)

    def answer(x: NDArray[np.uint8]) -> dict[str, Any]:
        upright = forward(x)
        return both_ways(upright, forward(x[:, :, ::-1])) if mirrored else upright

    parts = [answer(images[start : start + batch]) for start in range(0, len(images), batch)]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in (LOGIT, MAP, FEATURES)}


def both_ways(upright: Mapping[str, Any], mirrored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean of a network's outputs for pictures and for their mirror images, the map turned back."""
    turned = {**mirrored, MAP: mirrored[MAP][:, :, ::-1]}
    return {name: (upright[name] + turned[name]) / 2 for name in upright}


def best_reading(network: keras.Model, val: PreparedCases) -> tuple[bool, dict[str, NDArray[np.float32]]]:
    """Return whether to read each picture and its mirror image, and the outputs on ``val`` of the better way.

    Both, at twice the cost, only where the validation score gains ``MIRROR_GAIN`` by it.
    """
    return better_of(outputs(network, val.images), outputs(network, val.images[:, :, ::-1]), val)


def better_of(
    upright: Mapping[str, NDArray[np.float32]], mirrored: Mapping[str, NDArray[np.float32]], val: PreparedCases
) -> tuple[bool, dict[str, NDArray[np.float32]]]:
    """Return what ``best_reading`` does, from the outputs on ``val`` and on its mirror images."""
    both = both_ways(upright, mirrored)
    gain = validation_figures(both, val)["val_score"] - validation_figures(upright, val)["val_score"]
    return (True, both) if gain >= MIRROR_GAIN else (False, dict(upright))


def validation_figures(said: Mapping[str, NDArray[np.float32]], val: PreparedCases) -> Epoch:
    """Return loss, AUC, average precision, accuracy and the pointing game (``training.localisation``).

    ``val_score``, the mean of AUC, average precision and pointing game, chooses between epochs: each alone is noisy.
    """
    labels, logits = val.labels, said[LOGIT].astype(np.float64)
    loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
    place = pointing_game(expit(said[MAP]), val.boxes)
    both = 0 < labels.sum() < len(labels)
    figures = {
        "val_auc": float(roc_auc_score(labels, logits)) if both else 0.5,
        "val_ap": float(average_precision_score(labels, logits)) if both else float(labels.mean()),
        "val_pointing": place.value if place.n else 0.0,
    }
    score = sum(figures.values()) / len(figures)
    accuracy = float(np.mean((logits > 0) == labels))
    return {"val_loss": loss, "val_accuracy": accuracy, **figures, "val_score": score}


def still_features(network: keras.Model, images: NDArray[np.uint8]) -> float:
    """Return the share of the deepest features that are the same for every picture: dead ends of the network.

    Looks at the first pictures of ``images`` uint8 [N,S,S,1], no more than are needed to tell.
    """
    deep = keras.Model(network.input, network.get_layer("pool_deep").output)
    # as a graph and few at a time: run eagerly, every layer's output would stay in memory
    forward = tf.function(lambda x: deep(tf.cast(x, tf.float32), training=False), reduce_retracing=True)
    parts = [np.asarray(forward(images[start : start + 8])) for start in range(0, min(len(images), _ENOUGH), 8)]
    features = np.concatenate(parts)
    return float(np.mean(np.ptp(features, axis=0) <= 1e-3 * np.abs(features).max(axis=0)))
