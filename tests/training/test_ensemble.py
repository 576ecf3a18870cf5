"""The mean of several networks: what it says is the mean of what they say, and it folds like one network."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from export.fold import fold_batch_norm
from training.ensemble import mean_of
from training.model import FEATURES, LOGIT, MAP, ModelConfig, build_model

CONFIG = ModelConfig(weights="none", input_size=64, width=8, dense=(4,))


@pytest.fixture(scope="module")
def pair() -> tuple[keras.Model, keras.Model]:
    """Two networks of one shape with different random weights."""
    return build_model(CONFIG), build_model(CONFIG)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Three noisy pictures, float32 [3,64,64,1]."""
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1)).astype(np.float32)


def test_the_answer_is_the_mean_and_the_features_stand_side_by_side(
    pair: tuple[keras.Model, keras.Model], images: np.ndarray
) -> None:
    one, two = (network(images, training=False) for network in pair)
    mean = mean_of(pair)(images, training=False)
    assert float(np.ptp(one[LOGIT] - two[LOGIT])) > 0, "networks that say the same would prove nothing"
    for name in (LOGIT, MAP):
        np.testing.assert_allclose(mean[name], (one[name] + two[name]) / 2, atol=1e-4)
    np.testing.assert_allclose(mean[FEATURES], np.concatenate([one[FEATURES], two[FEATURES]], 1), atol=1e-4)


def test_batch_norm_of_every_member_folds(pair: tuple[keras.Model, keras.Model], images: np.ndarray) -> None:
    together = mean_of(pair)
    folded = fold_batch_norm(together)
    kept = [layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert kept == ["member1_features_bn", "member2_features_bn"]
    told, expected = folded(images, training=False), together(images, training=False)
    for name in (LOGIT, MAP):
        np.testing.assert_allclose(told[name], expected[name], atol=2e-3)


def test_one_network_stays_itself(pair: tuple[keras.Model, keras.Model]) -> None:
    assert mean_of(pair[:1]) is pair[0]


def test_networks_of_two_input_sizes_are_refused(pair: tuple[keras.Model, keras.Model]) -> None:
    other = build_model(ModelConfig(weights="none", input_size=96, width=8, dense=(4,)))
    with pytest.raises(ValueError, match="one input size"):
        mean_of([pair[0], other])
