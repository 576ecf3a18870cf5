"""Several networks as one: the mean of what they say, so that the chance of one training run weighs less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import keras

from training.backbones import Tensor
from training.model import FEATURES, LOGIT, MAP

_OUTPUTS: Final = (LOGIT, MAP, FEATURES)


def mean_of(networks: Sequence[keras.Model]) -> keras.Model:
    """Return one flat network: the mean of the networks' ``LOGIT`` and ``MAP``, their ``FEATURES`` side by side.

    It holds copies of their weights and reads the same grey values, float32 [N,S,S,1]. A single network is returned as
    it is. Raises ``ValueError`` where there is none or where their inputs differ in size.
    """
    sizes = {network.input_shape[1:] for network in networks}
    if len(sizes) != 1:
        raise ValueError(f"Networks can be read together only at one input size, not {sorted(sizes)}.")
    if len(networks) == 1:
        return networks[0]
    image = keras.Input(sizes.pop(), name="grey")
    said = [_renamed(network, f"member{index}", image) for index, network in enumerate(networks, start=1)]
    outputs = {name: keras.layers.Average(name=name)([answer[name] for answer in said]) for name in (LOGIT, MAP)}
    outputs[FEATURES] = keras.layers.Concatenate(name=FEATURES)([answer[FEATURES] for answer in said])
    return keras.Model(image, outputs, name="mean")


def _renamed(network: keras.Model, prefix: str, image: Tensor) -> dict[str, Tensor]:
    """Return the outputs on ``image`` of a copy of ``network`` whose layers' names begin with ``prefix``."""

    def rename(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "name": f"{prefix}_{layer.name}"})

    renamed: Any = keras.models.clone_model(network, input_tensors=image, clone_function=rename)
    renamed.set_weights(network.get_weights())
    answer = renamed.output
    return {name: answer[name] for name in _OUTPUTS}
