"""The network: a backbone, features of several strides merged by residual blocks, a location map and a picture head.

It is flat (no nested Keras models), so that heat maps and the folding of weights into constants see every layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from training.backbones import Tensor, backbone
from training.reading import HighestCells, Margin, Smoothing

LOGIT: Final = "logit"
"""float32 [N]: the picture's log-odds of a fracture, not yet calibrated."""
MAP: Final = "map_logits"
"""float32 [N, S/8, S/8]: log-odds of a fracture in each cell."""
FEATURES: Final = "features"
"""float32 [N, F]: mean features of every stage of the backbone, for the distance from the training images."""

_MOMENTUM: Final = 0.95
"""Of the head's BatchNorm: its statistics must follow within an epoch of some 150 steps."""

_MAP_PRIOR: Final = 0.01
"""Share of cells within a fracture at the start of training (Lin et al. 2017, arXiv 1708.02002)."""


@dataclass(frozen=True)
class ModelConfig:
    """What shapes the network. ``input_size`` in px; ``width`` is the channels of the merged features.

    A picture that is read loses its ``margin``, a share of the input's side, and is smoothed ``smoothing`` times before
    the network looks at it; the ``vote`` of the map, the mean of that share of its cells, the highest, is added to the
    picture head's log-odds (``training.reading``).
    """

    backbone: str = "efficientnet-lite0"
    weights: str = "imagenet"
    input_size: int = 384
    width: int = 128
    dense: tuple[int, ...] = (256, 128)
    dropout: float = 0.5
    smoothing: int = 0
    margin: float = 0.0
    vote: float = 0.0


def build_model(config: ModelConfig) -> keras.Model:
    """Return the network: grey values float32 [N,S,S,1] in 0..255 to ``{LOGIT, MAP, FEATURES}``.

    With ``weights="imagenet"`` the backbone carries its ImageNet weights, with ``"none"`` random ones.
    Raises ``BackboneError`` on an unknown backbone or weights that cannot be had.
    """
    row = backbone(config.backbone)
    image = keras.Input((config.input_size, config.input_size, 1), name="grey")
    seen = Margin(config.margin, name="margin")(image) if config.margin else image
    features = row.build(Smoothing(config.smoothing, name="smoothing")(seen) if config.smoothing else seen)
    deep = features[32]
    merged16 = _merge(features[16], _project(deep, config.width, "lateral32"), config.width, "merge16")
    half = config.width // 2
    merged8 = _merge(features[8], _project(merged16, half, "lateral16"), half, "merge8")
    cells = keras.layers.Conv2D(
        1, 1, bias_initializer=keras.initializers.Constant(float(np.log(_MAP_PRIOR / (1 - _MAP_PRIOR)))), name="map"
    )(merged8)
    pooled = _pool(deep, merged16, cells)
    outputs = {
        LOGIT: _picture_head(pooled, cells, config),
        MAP: keras.layers.Reshape(cells.shape[1:3], name="map_grid")(cells),
        FEATURES: _stage_means(image, features, row.stages),
    }
    model = keras.Model(image, outputs, name="fracture")
    if config.weights == "imagenet":
        row.load(model)
    return model


def freeze(
    model: keras.Model,
    backbone_name: str,
    first_trainable_block: int | None,
    norms_from_block: int | None = None,
    *,
    picture_head_only: bool = False,
) -> None:
    """Set which layers learn: the head always, the backbone from ``first_trainable_block`` on (None: not at all).

    With ``picture_head_only`` the dense layers of the picture head alone learn, and no BatchNorm counts anything.

    BatchNorm of the backbone learns, and counts its statistics, only from ``norms_from_block`` on and only where the
    other layers of its block learn. Where it does not, a high learning rate may drive a block's features into the flat
    ends of their ReLUs, from which nothing brings them back.
    """
    block_of = backbone(backbone_name).block_of
    for layer in model.layers:
        block = block_of(layer.name)
        first: int | None = first_trainable_block
        if first is not None and isinstance(layer, keras.layers.BatchNormalization):
            first = None if norms_from_block is None else max(first, norms_from_block)
        learns = block is None or (first is not None and block >= first)
        layer.trainable = learns and (not picture_head_only or isinstance(layer, keras.layers.Dense))


def _norm(name: str) -> keras.layers.Layer:
    # with several devices at work its statistics are those of the whole batch, as on one
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(momentum=_MOMENTUM, synchronized=several, name=name)


def _project(x: Tensor, width: int, name: str) -> Tensor:
    x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv")(x)
    x = _norm(f"{name}_bn")(x)
    return keras.layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)


def _merge(fine: Tensor, coarse: Tensor, width: int, name: str) -> Tensor:
    x = keras.layers.Conv2D(width, 1, use_bias=False, name=f"{name}_conv")(fine)
    x = _norm(f"{name}_bn")(x)
    x = keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, coarse]))
    return residual_block(x, width, f"{name}_residual")


def residual_block(x: Tensor, width: int, name: str) -> Tensor:
    """Return ``relu(x + f(x))`` with ``f`` two 3x3 convolutions, the same shape as ``x`` [N,H,W,width]."""
    y = x
    for step in (1, 2):
        y = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv{step}")(y)
        y = _norm(f"{name}_bn{step}")(y)
        if step == 1:
            y = keras.layers.ReLU(name=f"{name}_relu1")(y)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, y]))


def _pool(deep: Tensor, merged: Tensor, cells: Tensor) -> Tensor:
    parts: list[Any] = [
        keras.layers.GlobalAveragePooling2D(name="pool_deep")(deep),
        keras.layers.GlobalAveragePooling2D(name="pool_average")(merged),
        keras.layers.GlobalMaxPooling2D(name="pool_maximum")(merged),
        keras.layers.GlobalMaxPooling2D(name="pool_map")(cells),
    ]
    return keras.layers.Concatenate(name="pooled")(parts)


def _stage_means(image: Tensor, features: Mapping[int, Tensor], stages: tuple[str, ...]) -> Tensor:
    """Return float32 [N, F], the mean over the picture of each channel where the backbone's stages end.

    All stages, because what was trained for fractures keeps little at its end of what kind of picture it saw.
    """
    body = keras.Model(image, list(features.values()))
    means = [
        keras.layers.GlobalAveragePooling2D(name=f"stage{index}_mean")(body.get_layer(name).output)
        for index, name in enumerate(stages, start=1)
    ]
    return keras.layers.Concatenate(name=FEATURES)(means)


def _picture_head(pooled: Tensor, cells: Tensor, config: ModelConfig) -> Tensor:
    # the pooled features differ in scale by an order of magnitude; unscaled they drive the first ReLUs dead
    x = _norm("features_bn")(pooled)
    for index, units in enumerate(config.dense):
        x = keras.layers.Dense(units, activation="relu", name=f"dense{index}")(x)
        x = keras.layers.Dropout(config.dropout, name=f"dropout{index}")(x)
    x = keras.layers.Dense(1, name="picture")(x)
    if config.vote:
        x = keras.layers.Add(name="both")([x, HighestCells(config.vote, name="vote")(cells)])
    return keras.layers.Reshape((), name=LOGIT)(x)
